#include "formats/envelope.h"

#include "support.h"

using namespace dbcrypt;
using namespace test;

namespace
{

constexpr dbcrypt_encoding forms[] = {DBCRYPT_ENCODING_BINARY, DBCRYPT_ENCODING_TEXT};

dbcrypt_status
reencrypt(dbcrypt_ring *ring, dbcrypt_encoding encoding, const Octets &envelope, const Octets &aad,
		  Octets *out, bool *changed)
{
	out->assign(envelope.size(), 0xEE);
	out->shrink_to_fit();
	return dbcrypt_reencrypt(ring, encoding, envelope.data(), envelope.size(), aad.data(),
							 aad.size(), out->data(), changed);
}

dbcrypt_status
read_header(dbcrypt_encoding encoding, const Octets &start, size_t size, std::string *id)
{
	char key_id[DBCRYPT_KEY_ID_LEN + 1] = "";
	const auto status = dbcrypt_read_header(encoding, start.data(), size, key_id);
	*id = key_id;
	return status;
}

Octets
spelled(dbcrypt_encoding encoding, const std::string &envelope_hex, const std::string &text)
{
	return encoding == DBCRYPT_ENCODING_TEXT ? octets(text) : unhex(envelope_hex);
}

Octets
sample(size_t size)
{
	Octets bytes(size);
	for (size_t i = 0; i < size; i++)
		bytes[i] = static_cast<uint8_t>(i * 31 + i / 7);
	return bytes;
}

} // namespace

/* Made by test/interop/envelope.py, which shares no code with the core. */
TEST(Envelope, KnownAnswers)
{
	for (const auto &v : load_vectors("native-1.json"))
	{
		TestRing ring(v.at("key_hex"));
		EXPECT_EQ(ring.id(0), v.at("key_id"));
		const Octets plaintext = unhex(v.at("plaintext_hex"));
		const Octets aad = unhex(v.at("aad_hex"));
		for (const auto encoding : forms)
		{
			const Octets envelope = spelled(encoding, v.at("envelope_hex"), v.at("envelope_text"));
			Key key({secret(unhex(v.at("key_hex"))), false});
			Octets out(envelope_size(encoding, plaintext.size()));
			envelope_seal_with_nonce(key, encoding, plaintext, aad, unhex(v.at("nonce_hex")).data(),
									 out.data());
			EXPECT_EQ(out, envelope) << v.at("name");
			Octets opened;
			EXPECT_EQ(decrypt(ring, encoding, envelope, aad, &opened), DBCRYPT_OK) << v.at("name");
			EXPECT_EQ(opened, plaintext) << v.at("name");
		}
	}
}

TEST(Envelope, RoundTripsAtEverySmallSizeAndSomeLarge)
{
	TestRing ring(hex_key(1));
	std::vector<size_t> sizes;
	for (size_t size = 0; size < 130; size++)
		sizes.push_back(size);
	sizes.insert(sizes.end(), {1000, 65536, 3000001, 20000000});
	for (const size_t size : sizes)
		for (const auto encoding : forms)
		{
			const Octets plaintext = sample(size);
			const Octets envelope = encrypt(ring, encoding, plaintext, octets("aad"));
			Octets opened;
			ASSERT_EQ(decrypt(ring, encoding, envelope, octets("aad"), &opened), DBCRYPT_OK)
				<< size;
			ASSERT_EQ(opened, plaintext) << size;
			EXPECT_EQ(dbcrypt_envelope_size(encoding, size), envelope.size());
			EXPECT_LE(dbcrypt_decrypt_max_size(encoding, envelope.size()), envelope.size());
		}
}

TEST(Envelope, SizesThatNothingHolds)
{
	for (const auto encoding : forms)
	{
		for (const size_t size : {SIZE_MAX, SIZE_MAX - 40, SIZE_MAX / 2, size_t{68719476705}})
			EXPECT_EQ(dbcrypt_envelope_size(encoding, size), SIZE_MAX);
		TestRing ring(hex_key(1));
		const uint8_t byte = 0;
		uint8_t out;
		EXPECT_EQ(dbcrypt_encrypt(ring, encoding, &byte, SIZE_MAX, nullptr, 0, &out),
				  DBCRYPT_TOO_LARGE);
		for (const size_t size : {0U, 1U, 24U})
			EXPECT_EQ(dbcrypt_decrypt_max_size(encoding, size), 0U);
	}
	EXPECT_EQ(dbcrypt_envelope_size(DBCRYPT_ENCODING_BINARY, 68719476704), 68719476744U);
	EXPECT_EQ(dbcrypt_envelope_size(DBCRYPT_ENCODING_TEXT, 0), 56U);
}

TEST(Envelope, TheSameValueTwiceDiffers)
{
	TestRing ring(hex_key(1));
	EXPECT_NE(encrypt(ring, DBCRYPT_ENCODING_TEXT, octets("x")),
			  encrypt(ring, DBCRYPT_ENCODING_TEXT, octets("x")));
}

TEST(Envelope, EveryChangedBitIsRefusedAndLeavesNoPlaintext)
{
	TestRing ring(hex_key(1));
	const Octets plaintext = octets("no byte of this may stay");
	const Octets aad = octets("user:1");
	for (const auto encoding : forms)
	{
		const Octets good = encrypt(ring, encoding, plaintext, aad);
		for (size_t at = 0; at < good.size(); at++)
			for (int bit = 0; bit < 8; bit++)
			{
				Octets bad = good;
				bad[at] ^= static_cast<uint8_t>(1 << bit);
				Octets out;
				const auto status = decrypt(ring, encoding, bad, aad, &out);
				EXPECT_NE(status, DBCRYPT_OK) << at;
				EXPECT_EQ(text(out).find("may stay"), std::string::npos) << at;
				if (encoding == DBCRYPT_ENCODING_BINARY)
				{
					const auto expected = at < 3	? DBCRYPT_NOT_AN_ENVELOPE
										  : at == 3 ? DBCRYPT_NEWER_ALGORITHM
										  : at < 11 ? DBCRYPT_KEY_NOT_LOADED
										  : at < 12 ? DBCRYPT_NEWER_FORMAT
													: DBCRYPT_AUTHENTICATION_FAILED;
					EXPECT_EQ(status, expected) << at;
					if (expected == DBCRYPT_AUTHENTICATION_FAILED)
						EXPECT_EQ(out, Octets(out.size(), 0)) << at;
				}
			}
	}
}

TEST(Envelope, EveryLengthIsPartOfIt)
{
	TestRing ring(hex_key(1));
	for (const auto encoding : forms)
	{
		const Octets good = encrypt(ring, encoding, octets("twelve bytes"));
		Octets out;
		for (size_t size = 0; size < good.size(); size++)
		{
			const Octets bad(good.begin(), good.begin() + static_cast<ptrdiff_t>(size));
			const auto status = decrypt(ring, encoding, bad, {}, &out);
			EXPECT_TRUE(status == DBCRYPT_NOT_AN_ENVELOPE ||
						status == DBCRYPT_AUTHENTICATION_FAILED)
				<< size;
		}
		Octets longer = good;
		longer.push_back(encoding == DBCRYPT_ENCODING_TEXT ? 'A' : 0);
		EXPECT_NE(decrypt(ring, encoding, longer, {}, &out), DBCRYPT_OK);
		longer.insert(longer.end(), 3, 'A');
		EXPECT_NE(decrypt(ring, encoding, longer, {}, &out), DBCRYPT_OK);
	}
}

TEST(Envelope, AadIsBoundAndEmptyIsNone)
{
	TestRing ring(hex_key(1));
	for (const auto encoding : forms)
	{
		const Octets bound = encrypt(ring, encoding, octets("x"), octets("a"));
		Octets out;
		for (const char *wrong : {"", "b", "aa", "A"})
			EXPECT_EQ(decrypt(ring, encoding, bound, octets(wrong), &out),
					  DBCRYPT_AUTHENTICATION_FAILED);
		const Octets free = encrypt(ring, encoding, octets("x"));
		out.assign(dbcrypt_decrypt_max_size(encoding, free.size()), 0);
		size_t size;
		EXPECT_EQ(dbcrypt_decrypt(ring, encoding, free.data(), free.size(), out.data(), 0,
								  out.data(), &size),
				  DBCRYPT_OK);
		EXPECT_EQ(size, 1U);
	}
	/* The header and the AAD are one string to GCM, but the header's length is fixed. */
	const Octets value = encrypt(ring, DBCRYPT_ENCODING_BINARY, octets("x"), octets("ab"));
	Octets out;
	EXPECT_EQ(decrypt(ring, DBCRYPT_ENCODING_BINARY, value, octets("a"), &out),
			  DBCRYPT_AUTHENTICATION_FAILED);
}

TEST(Envelope, TextIsStrictBase64)
{
	TestRing ring(hex_key(1));
	const std::string good = text(encrypt(ring, DBCRYPT_ENCODING_TEXT, octets("0123")));
	ASSERT_EQ(good.substr(0, 4), "dbc1");
	Octets out;
	for (const std::string &bad :
		 {good + "\n", " " + good, good.substr(0, 20) + "\n" + good.substr(20),
		  good + "====", good.substr(0, 40) + "----" + good.substr(44),
		  good.substr(0, 28) + "====" + good.substr(32),
		  good.substr(0, 30) + "==" + good.substr(32)})
		EXPECT_EQ(decrypt(ring, DBCRYPT_ENCODING_TEXT, octets(bad), {}, &out),
				  DBCRYPT_NOT_AN_ENVELOPE)
			<< bad;
}

TEST(Envelope, KeysAreFoundAndObeyTheirState)
{
	TestRing both(hex_key(1) + "," + hex_key(2));
	TestRing first(hex_key(1));
	TestRing none("");
	Octets out;
	for (const auto encoding : forms)
	{
		const Octets under2 = encrypt(TestRing(hex_key(2)), encoding, octets("x"));
		const Octets under1 = encrypt(both, encoding, octets("x"));
		for (int i = 0; i < 2; i++)
		{
			EXPECT_EQ(decrypt(both, encoding, under2, {}, &out), DBCRYPT_OK);
			EXPECT_EQ(decrypt(both, encoding, under1, {}, &out), DBCRYPT_OK);
		}
		EXPECT_EQ(decrypt(first, encoding, under2, {}, &out), DBCRYPT_KEY_NOT_LOADED);
		EXPECT_EQ(decrypt(none, encoding, under2, {}, &out), DBCRYPT_NO_KEYS);

		dbcrypt_ring_set_state(both, 1, DBCRYPT_STATE_REGISTERED | DBCRYPT_STATE_REVOKED);
		EXPECT_EQ(decrypt(both, encoding, under2, {}, &out), DBCRYPT_KEY_REVOKED);
		EXPECT_EQ(decrypt(both, encoding, under1, {}, &out), DBCRYPT_OK);
		for (const unsigned state : {DBCRYPT_STATE_BAD_CANARY, DBCRYPT_STATE_RETIRED})
		{
			dbcrypt_ring_set_state(both, 1, state);
			EXPECT_EQ(decrypt(both, encoding, under2, {}, &out), DBCRYPT_OK);
		}
	}
}

TEST(Envelope, EncryptingNeedsAGoodPrimary)
{
	const std::pair<unsigned, dbcrypt_status> cases[] = {
		{0, DBCRYPT_KEY_NOT_REGISTERED},
		{DBCRYPT_STATE_BAD_CANARY, DBCRYPT_KEY_NOT_REGISTERED},
		{DBCRYPT_STATE_REGISTERED, DBCRYPT_OK},
		{DBCRYPT_STATE_REGISTERED | DBCRYPT_STATE_BAD_CANARY, DBCRYPT_KEY_CANARY_MISMATCH},
		{DBCRYPT_STATE_REGISTERED | DBCRYPT_STATE_RETIRED, DBCRYPT_KEY_RETIRED},
		{DBCRYPT_STATE_REGISTERED | DBCRYPT_STATE_RETIRED | DBCRYPT_STATE_REVOKED,
		 DBCRYPT_KEY_REVOKED},
		{DBCRYPT_STATE_REGISTERED | DBCRYPT_STATE_REVOKED, DBCRYPT_KEY_REVOKED},
		{DBCRYPT_STATE_REVOKED, DBCRYPT_KEY_REVOKED}};
	const Octets other = encrypt(TestRing(hex_key(2)), DBCRYPT_ENCODING_BINARY, octets("x"));
	for (const auto &[state, expected] : cases)
	{
		TestRing ring(hex_key(1) + "," + hex_key(2));
		dbcrypt_ring_set_state(ring, 0, state);
		uint8_t out[64];
		EXPECT_EQ(dbcrypt_encrypt(ring, DBCRYPT_ENCODING_BINARY, out, 1, nullptr, 0, out + 20),
				  expected);
		Octets moved;
		bool changed;
		EXPECT_EQ(reencrypt(ring, DBCRYPT_ENCODING_BINARY, other, {}, &moved, &changed), expected);
		EXPECT_EQ(changed, expected == DBCRYPT_OK);
	}
	TestRing none("");
	uint8_t out[40];
	EXPECT_EQ(dbcrypt_encrypt(none, DBCRYPT_ENCODING_BINARY, nullptr, 0, nullptr, 0, out),
			  DBCRYPT_NO_KEYS);
}

TEST(Reencrypt, MovesToThePrimaryAtEverySize)
{
	TestRing ring(hex_key(1) + "," + hex_key(2));
	TestRing old(hex_key(2));
	for (const auto encoding : forms)
		for (size_t size = 0; size < 100; size++)
		{
			const Octets plaintext = sample(size);
			const Octets before = encrypt(old, encoding, plaintext, octets("aad"));
			Octets after;
			bool changed = false;
			ASSERT_EQ(reencrypt(ring, encoding, before, octets("aad"), &after, &changed),
					  DBCRYPT_OK);
			EXPECT_TRUE(changed);
			std::string id;
			EXPECT_EQ(read_header(encoding, after, after.size(), &id), DBCRYPT_OK);
			EXPECT_EQ(id, ring.id(0));
			Octets opened;
			ASSERT_EQ(decrypt(ring, encoding, after, octets("aad"), &opened), DBCRYPT_OK) << size;
			EXPECT_EQ(opened, plaintext);
			EXPECT_EQ(text(after).find(text(before).substr(16, 16)), std::string::npos);
		}
}

TEST(Reencrypt, LeavesAloneWhatIsUnderThePrimary)
{
	TestRing ring(hex_key(1));
	for (const auto encoding : forms)
	{
		Octets value = encrypt(ring, encoding, octets("x"));
		Octets out;
		bool changed = true;
		EXPECT_EQ(reencrypt(ring, encoding, value, {}, &out, &changed), DBCRYPT_OK);
		EXPECT_FALSE(changed);
		EXPECT_EQ(out, Octets(out.size(), 0xEE));
	}
}

TEST(Reencrypt, RefusesAndLeavesNoPlaintext)
{
	TestRing ring(hex_key(1) + "," + hex_key(2));
	const Octets plaintext = octets("no byte of this may stay");
	for (const auto encoding : forms)
	{
		const Octets good = encrypt(TestRing(hex_key(2)), encoding, plaintext, octets("aad"));
		Octets out;
		bool changed = true;
		EXPECT_EQ(reencrypt(ring, encoding, good, octets("other"), &out, &changed),
				  DBCRYPT_AUTHENTICATION_FAILED);
		EXPECT_FALSE(changed);
		EXPECT_EQ(out, Octets(out.size(), 0));
		for (size_t at = 0; at < good.size(); at++)
		{
			Octets bad = good;
			bad[at] ^= 4;
			EXPECT_NE(reencrypt(ring, encoding, bad, octets("aad"), &out, &changed), DBCRYPT_OK)
				<< at;
			bad[at] = '=';
			EXPECT_TRUE(bad == good ||
						reencrypt(ring, encoding, bad, octets("aad"), &out, &changed) != DBCRYPT_OK)
				<< at;
			EXPECT_EQ(text(out).find("may stay"), std::string::npos) << at;
		}
		EXPECT_EQ(reencrypt(TestRing(""), encoding, good, {}, &out, &changed), DBCRYPT_NO_KEYS);
		EXPECT_EQ(reencrypt(TestRing(hex_key(3)), encoding, good, {}, &out, &changed),
				  DBCRYPT_KEY_NOT_LOADED);
		dbcrypt_ring_set_state(ring, 1, DBCRYPT_STATE_REVOKED);
		EXPECT_EQ(reencrypt(ring, encoding, good, octets("aad"), &out, &changed),
				  DBCRYPT_KEY_REVOKED);
		dbcrypt_ring_set_state(ring, 1, DBCRYPT_STATE_REGISTERED);
	}
}

TEST(Header, IsReadFromThePrefixAlone)
{
	TestRing ring(hex_key(1));
	std::string id;
	for (const auto encoding : forms)
	{
		const Octets value = encrypt(ring, encoding, octets("x"));
		Octets prefix(value.begin(), value.begin() + 16);
		prefix.shrink_to_fit();
		EXPECT_EQ(read_header(encoding, prefix, value.size(), &id), DBCRYPT_OK);
		EXPECT_EQ(id, ring.id(0));
		EXPECT_EQ(read_header(encoding, prefix, 16, &id), DBCRYPT_NOT_AN_ENVELOPE);
		for (size_t size = 0; size < 16; size++)
		{
			Octets start(value.begin(), value.begin() + static_cast<ptrdiff_t>(size));
			start.shrink_to_fit();
			EXPECT_EQ(read_header(encoding, start, size, &id), DBCRYPT_NOT_AN_ENVELOPE);
		}
	}
	const Octets value = encrypt(ring, DBCRYPT_ENCODING_TEXT, octets("x"));
	EXPECT_EQ(read_header(DBCRYPT_ENCODING_TEXT, value, value.size() + 1, &id),
			  DBCRYPT_NOT_AN_ENVELOPE);
	EXPECT_EQ(read_header(DBCRYPT_ENCODING_TEXT, octets("dbc1 and plain words"), 60, &id),
			  DBCRYPT_NOT_AN_ENVELOPE);
	EXPECT_EQ(read_header(DBCRYPT_ENCODING_TEXT, octets("plaintext, and no envelope"), 60, &id),
			  DBCRYPT_NOT_AN_ENVELOPE);
	EXPECT_EQ(read_header(DBCRYPT_ENCODING_TEXT, octets("dbc1AAAAAAAAAA=="), 60, &id),
			  DBCRYPT_NOT_AN_ENVELOPE);
}

TEST(Header, NewerIsToldFromBroken)
{
	TestRing ring(hex_key(1));
	Octets value = encrypt(ring, DBCRYPT_ENCODING_BINARY, octets("x"));
	std::string id;
	Octets out;
	bool changed;
	value[3] = 2;
	EXPECT_EQ(read_header(DBCRYPT_ENCODING_BINARY, value, value.size(), &id),
			  DBCRYPT_NEWER_ALGORITHM);
	EXPECT_EQ(decrypt(ring, DBCRYPT_ENCODING_BINARY, value, {}, &out), DBCRYPT_NEWER_ALGORITHM);
	EXPECT_EQ(reencrypt(ring, DBCRYPT_ENCODING_BINARY, value, {}, &out, &changed),
			  DBCRYPT_NEWER_ALGORITHM);
	value[11] = 1;
	EXPECT_EQ(read_header(DBCRYPT_ENCODING_BINARY, value, value.size(), &id), DBCRYPT_NEWER_FORMAT);
	EXPECT_EQ(id, "");
	EXPECT_EQ(read_header(DBCRYPT_ENCODING_TEXT, octets("dbc1AQIDBAUGBwgB"), 16, &id),
			  DBCRYPT_NEWER_FORMAT);
	EXPECT_EQ(read_header(DBCRYPT_ENCODING_TEXT, octets("dbc1AgIDBAUGBwgA"), 16, &id),
			  DBCRYPT_NEWER_ALGORITHM);
}

/* The known answer is from Python's cryptography. */
TEST(Canary, IsItsKeysAndNoValue)
{
	TestRing ring(hex_key(1) + "," + hex_key(2), 0);
	char canary[DBCRYPT_CANARY_SIZE + 1];
	ASSERT_EQ(dbcrypt_make_canary(ring, 1, canary), DBCRYPT_OK);
	EXPECT_EQ(std::string(canary), "S3/oxLZu/S/ju9/2AwiKqbgzNfzB1Fk=");
	EXPECT_TRUE(dbcrypt_canary_ok(ring, 1, canary, DBCRYPT_CANARY_SIZE));
	EXPECT_FALSE(dbcrypt_canary_ok(ring, 0, canary, DBCRYPT_CANARY_SIZE));
	EXPECT_FALSE(dbcrypt_canary_ok(ring, 1, canary, DBCRYPT_CANARY_SIZE - 4));
	EXPECT_FALSE(dbcrypt_canary_ok(ring, 1, "", 0));
	Octets opened;
	EXPECT_EQ(decrypt(ring, DBCRYPT_ENCODING_TEXT, octets(canary), {}, &opened),
			  DBCRYPT_NOT_AN_ENVELOPE);
	canary[20] = canary[20] == 'A' ? 'B' : 'A';
	EXPECT_FALSE(dbcrypt_canary_ok(ring, 1, canary, DBCRYPT_CANARY_SIZE));
}

TEST(Values, WithoutMemoryTheyFailCleanly)
{
	const Octets value = encrypt(TestRing(hex_key(2)), DBCRYPT_ENCODING_TEXT, octets("x"));
	int failures = 0;
	for (int n = 0;; n++)
	{
		TestRing ring(hex_key(1) + "," + hex_key(2));
		Octets out(value.size());
		bool changed = true;
		fail_allocation(n);
		const auto status = dbcrypt_reencrypt(ring, DBCRYPT_ENCODING_TEXT, value.data(),
											  value.size(), nullptr, 0, out.data(), &changed);
		fail_allocation(-1);
		EXPECT_EQ(changed, status == DBCRYPT_OK);
		if (status == DBCRYPT_OK)
			break;
		EXPECT_EQ(status, DBCRYPT_NO_MEMORY);
		failures++;
	}
	EXPECT_GT(failures, 0);
}
