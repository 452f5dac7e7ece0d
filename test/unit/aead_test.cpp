#include "crypto/aead_choice.h"

#include <random>

#include <openssl/evp.h>

#include "crypto/aead_ipsec_mb.h"
#include "crypto/aead_openssl.h"
#include "crypto/core_error.h"
#include "support.h"

using namespace dbcrypt;
using namespace test;

namespace
{

Octets
sealed(Aead &aead, const Octets &nonce, const Aad &aad, const Octets &plaintext)
{
	Octets out(plaintext.size() + Aead::tag_size);
	aead.seal(nonce.data(), aad, plaintext, out.data());
	return out;
}

/* Every implementation that can run here. */
enum class Maker
{
	openssl,
	ipsec_mb,
	chosen
};

std::unique_ptr<Aead>
made(Maker maker, const Octets &key)
{
	if (maker == Maker::openssl)
		return std::make_unique<OpenSslAead>(secret(key));
#ifdef DBCRYPT_IPSEC_MB
	if (maker == Maker::ipsec_mb)
		return std::make_unique<IpsecMbAead>(secret(key));
#endif
	return make_aead(secret(key));
}

std::vector<Maker>
makers()
{
	std::vector<Maker> all{Maker::openssl, Maker::chosen};
#ifdef DBCRYPT_IPSEC_MB
	if (IpsecMbAead::is_supported())
		all.push_back(Maker::ipsec_mb);
#endif
	return all;
}

class AeadOf : public testing::TestWithParam<Maker>
{};

INSTANTIATE_TEST_SUITE_P(Aead, AeadOf, testing::ValuesIn(makers()),
						 [](const auto &info)
						 {
							 return info.param == Maker::openssl	? "OpenSsl"
									: info.param == Maker::ipsec_mb ? "IpsecMb"
																	: "Chosen";
						 });

} // namespace

/* McGrew and Viega's test cases 13, 14 and 16, as NIST publishes them. */
TEST_P(AeadOf, KnownAnswers)
{
	const auto zero = made(GetParam(), Octets(32, 0));
	EXPECT_EQ(hex(sealed(*zero, Octets(12, 0), {}, {})), "530f8afbc74536b9a963b4f1c4cb738b");
	EXPECT_EQ(hex(sealed(*zero, Octets(12, 0), {}, Octets(16, 0))),
			  "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");

	const auto aead =
		made(GetParam(), unhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"));
	const Octets aad = unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
	const Octets plaintext =
		unhex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
			  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
	const std::string expected = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
								 "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
								 "76fc6ece0f4e1768cddf8853bb2d551b";
	const Octets nonce = unhex("cafebabefacedbaddecaf888");
	for (size_t split = 0; split <= aad.size(); split++)
	{
		const Bytes all(aad);
		EXPECT_EQ(hex(sealed(*aead, nonce, {all.first(split), all.subspan(split)}, plaintext)),
				  expected);
	}
}

TEST_P(AeadOf, OpensAfterARefusal)
{
	const auto aead = made(GetParam(), Octets(32, 5));
	const Octets nonce(12, 1);
	const Octets good = sealed(*aead, nonce, {}, octets("plain"));
	Octets bad = good;
	bad[0] ^= 1;
	Octets out(good.size());
	for (int i = 0; i < 3; i++)
	{
		EXPECT_FALSE(aead->open(nonce.data(), {}, bad, out.data()));
		EXPECT_TRUE(aead->open(nonce.data(), {}, good, out.data()));
		EXPECT_EQ(text({out.begin(), out.begin() + 5}), "plain");
	}
}

TEST_P(AeadOf, LongAdditionalDataInEitherPiece)
{
	const auto aead = made(GetParam(), Octets(32, 5));
	const Octets nonce(12, 1);
	for (const size_t size : {1U, 243U, 244U, 245U, 256U, 257U, 100000U})
	{
		const Octets aad(size, 0x33);
		Octets joined(12, 0x33);
		joined.insert(joined.end(), aad.begin(), aad.end());
		EXPECT_EQ(sealed(*aead, nonce, {Octets(12, 0x33), aad}, octets("x")),
				  sealed(*aead, nonce, {joined, {}}, octets("x")));
	}
}

/* More than one EVP call takes, in place. */
TEST_P(AeadOf, OneGibibyteAndSome)
{
	constexpr size_t size = (size_t{1} << 30) + 21;
	const auto aead = made(GetParam(), Octets(32, 5));
	const Octets nonce(12, 1);
	Octets buffer(size + Aead::tag_size, 'x');
	aead->seal(nonce.data(), {}, {buffer.data(), size}, buffer.data());
	EXPECT_NE(buffer[size - 1], 'x');
	EXPECT_TRUE(aead->open(nonce.data(), {}, buffer, buffer.data()));
	EXPECT_EQ(buffer[0], 'x');
	EXPECT_EQ(buffer[size / 2], 'x');
	EXPECT_EQ(buffer[(size_t{1} << 30) + 1], 'x');
	EXPECT_EQ(buffer[size - 1], 'x');
}

/* Every length about the sizes at which the code takes another turn, in place and not. */
TEST_P(AeadOf, AgreesWithOpenSsl)
{
	std::mt19937 random(1);
	const auto octets_of = [&](size_t size)
	{
		Octets made(size);
		for (auto &octet : made)
			octet = static_cast<uint8_t>(random());
		return made;
	};
	const Octets key = octets_of(32);
	OpenSslAead reference(secret(key));
	const auto aead = made(GetParam(), key);

	for (size_t size = 0; size < 1700; size++)
	{
		const Octets nonce = octets_of(12);
		const Octets head = octets_of(size % 3 == 0 ? 0 : 12);
		const Octets tail = octets_of(size * 7 % 300);
		const Octets plaintext = octets_of(size < 1600 ? size : size * 41);
		const Octets expected = sealed(reference, nonce, {head, tail}, plaintext);
		ASSERT_EQ(sealed(*aead, nonce, {head, tail}, plaintext), expected) << size;

		Octets place = plaintext;
		place.resize(expected.size());
		aead->seal(nonce.data(), {head, tail}, {place.data(), plaintext.size()}, place.data());
		ASSERT_EQ(place, expected) << size;
		ASSERT_TRUE(aead->open(nonce.data(), {head, tail}, place, place.data())) << size;
		place.resize(plaintext.size());
		ASSERT_EQ(place, plaintext) << size;

		for (const size_t at : {size_t{0}, plaintext.size(), expected.size() - 1})
		{
			Octets bad = expected;
			bad[at] ^= 1;
			ASSERT_FALSE(aead->open(nonce.data(), {head, tail}, bad, bad.data())) << size;
		}
	}
}

/* In a process of its own: the cipher is fetched once. */
TEST(MakeAeadDeathTest, KeepsToOpenSslUnderFips)
{
	GTEST_FLAG_SET(death_test_style, "threadsafe");
	EXPECT_EXIT(
		{
			const bool held = EVP_default_properties_enable_fips(nullptr, 1) == 1;
			const auto aead = make_aead(secret(Octets(32, 5)));
			_exit(held && dynamic_cast<OpenSslAead *>(aead.get()) != nullptr ? 0 : 1);
		},
		testing::ExitedWithCode(0), "");
}

#ifdef DBCRYPT_IPSEC_MB
TEST(MakeAead, ChoosesTheFaster)
{
	const auto aead = make_aead(secret(Octets(32, 5)));
	EXPECT_EQ(dynamic_cast<IpsecMbAead *>(aead.get()) != nullptr, IpsecMbAead::is_supported());
}
#endif
