#include "aead_ipsec_mb.h"

#ifdef DBCRYPT_IPSEC_MB

#include <memory>

#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>

#include "joined_aad.h"

#include "no_postgres.h"

namespace dbcrypt
{

namespace
{

/* The library's functions for this processor; null if it lacks the instructions. */
struct Functions
{
	aes_gcm_pre_t expand = nullptr;
	aes_gcm_enc_dec_t encrypt = nullptr;
	aes_gcm_enc_dec_t decrypt = nullptr;
};

/* Asks the processor, and chooses the functions for it. */
Functions
find_functions()
{
	constexpr uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
	const std::unique_ptr<IMB_MGR, decltype(&free_mb_mgr)> manager(alloc_mb_mgr(0), free_mb_mgr);
	if (!manager)
		return {};
	init_mb_mgr_auto(manager.get(), nullptr);
	if (imb_get_errno(manager.get()) != 0 || (manager->features & needed) != needed)
		return {};
	return {manager->gcm256_pre, manager->gcm256_enc, manager->gcm256_dec};
}

/* The same, found once a process. */
const Functions &
functions()
{
	static const Functions found = find_functions();
	return found;
}

/* The library refuses a null pointer, even with size 0. */
const uint8_t *
not_null(Bytes bytes)
{
	static constexpr uint8_t nothing = 0;
	return bytes.empty() ? &nothing : bytes.data();
}

} // namespace

bool
IpsecMbAead::is_supported()
{
	return functions().encrypt != nullptr;
}

/* The library wants the expanded key aligned; what follows it need not be. */
IpsecMbAead::IpsecMbAead(Secret key)
	: memory_(sizeof(gcm_key_data) + sizeof(gcm_context_data) + alignof(gcm_key_data))
{
	void *place = reveal_secret(memory_).data();
	size_t room = memory_.size();
	key_ = static_cast<gcm_key_data *>(
		std::align(alignof(gcm_key_data), sizeof(gcm_key_data), place, room));
	state_ = reinterpret_cast<gcm_context_data *>(key_ + 1);
	functions().expand(reveal_secret(key).data(), key_);
}

void
IpsecMbAead::seal(const uint8_t *nonce, const Aad &aad, Bytes plaintext, uint8_t *out)
{
	const JoinedAad joined(aad);
	functions().encrypt(key_, state_, out, not_null(plaintext), plaintext.size(), nonce,
						not_null(joined.bytes()), joined.bytes().size(), out + plaintext.size(),
						tag_size);
}

bool
IpsecMbAead::open(const uint8_t *nonce, const Aad &aad, Bytes sealed, uint8_t *out)
{
	const Bytes given = sealed.last(tag_size);
	const Bytes ciphertext = sealed.first(sealed.size() - tag_size);
	uint8_t tag[tag_size];
	const JoinedAad joined(aad);
	functions().decrypt(key_, state_, out, not_null(ciphertext), ciphertext.size(), nonce,
						not_null(joined.bytes()), joined.bytes().size(), tag, tag_size);
	return CRYPTO_memcmp(tag, given.data(), tag_size) == 0;
}

} // namespace dbcrypt

#endif
