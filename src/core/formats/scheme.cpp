#include "scheme.h"

#include <iterator>

#include "../crypto/no_postgres.h"

using namespace dbcrypt;

namespace
{

#define DBCRYPT_SCHEME_ADDRESS(name) &name##_scheme,
const Scheme *const schemes[] = {DBCRYPT_SCHEMES(DBCRYPT_SCHEME_ADDRESS)};
#undef DBCRYPT_SCHEME_ADDRESS

} // namespace

const char *
dbcrypt_scheme::key_name(const Key &) const
{
	return nullptr;
}

dbcrypt_cell_kind
dbcrypt_scheme::inspect(const dbcrypt_cell &cell) const
{
	if (cell.value == nullptr)
		return DBCRYPT_CELL_NULL;
	return traits.keeps_empty && cell.value_size == 0 ? DBCRYPT_CELL_EMPTY : DBCRYPT_CELL_ENCRYPTED;
}

namespace dbcrypt
{

void
clear_sealed(dbcrypt_sealed *out)
{
	out->value_size = 0;
	out->companion_is_null = true;
	out->companion_size = 0;
	out->salt_size = 0;
}

const Scheme *
scheme_named(std::string_view name)
{
	for (const Scheme *scheme : schemes)
		if (scheme->traits.name == name)
			return scheme;
	return nullptr;
}

const Scheme *
scheme_at(size_t i)
{
	return i < std::size(schemes) ? schemes[i] : nullptr;
}

} // namespace dbcrypt
