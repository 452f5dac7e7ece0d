#include "ruby_lines.h"

#include <algorithm>

#include "../crypto/base64.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

/* Bytes that a line of 60 characters encodes. */
constexpr size_t line_size = 45;

} // namespace

size_t
ruby_lines_size(size_t size)
{
	return base64_encoded_size(size) + (size + line_size - 1) / line_size;
}

void
ruby_lines_encode(Bytes in, uint8_t *out)
{
	while (!in.empty())
	{
		const size_t size = std::min(in.size(), line_size);
		base64_encode(in.data(), size, out);
		out += base64_encoded_size(size);
		*out++ = '\n';
		in = in.subspan(size);
	}
}

} // namespace dbcrypt
