#include "formats/scheme_recorded.h"

#include <optional>

#include "crypto/aes_cbc.h"
#include "crypto/kdf.h"
#include "formats/utf8.h"
#include "support.h"

using namespace dbcrypt;
using namespace test;

namespace
{

const std::string long_text(128, 'k');
const std::string other_text = std::string(64, 'o') + "ther";

/* A value beside its iv and salt. */
struct Row
{
	Octets value;
	std::optional<Octets> iv;
	std::optional<Octets> salt;

	dbcrypt_cell cell() const
	{
		static const uint8_t empty = 0;
		const auto start = [](const Octets &bytes)
		{
			return bytes.empty() ? &empty : bytes.data();
		};
		return {start(value),
				value.size(),
				iv ? start(*iv) : nullptr,
				iv ? iv->size() : 0,
				salt ? start(*salt) : nullptr,
				salt ? salt->size() : 0};
	}
};

/* A column: its scheme, type and recorded key. */
struct Column
{
	const char *name;
	dbcrypt_encoding encoding;
	std::string key;
	bool text = false;

	const dbcrypt_scheme *scheme() const { return dbcrypt_scheme_find(name); }
	bool salted() const { return dbcrypt_scheme_traits_of(scheme())->salt; }
	dbcrypt_context context() const
	{
		dbcrypt_context context = {};
		context.encoding = encoding;
		context.recorded_key = key.empty() ? nullptr : key.c_str();
		context.plaintext_is_text = text;
		return context;
	}
};

dbcrypt_status
open(const Column &column, dbcrypt_ring *ring, const Row &row, Octets *plaintext)
{
	const auto context = column.context();
	const auto cell = row.cell();
	plaintext->assign(
		dbcrypt_scheme_open_max_size(column.scheme(), column.encoding, cell.value_size), 0xEE);
	plaintext->shrink_to_fit();
	size_t size = 0;
	size_t key;
	const auto status =
		dbcrypt_scheme_open(column.scheme(), ring, &context, &cell, plaintext->data(), &size, &key);
	if (status == DBCRYPT_OK)
		plaintext->resize(size);
	return status;
}

Row
row_of(const dbcrypt_sealed &sealed)
{
	Row row{Octets(sealed.value, sealed.value + sealed.value_size), {}, {}};
	if (!sealed.companion_is_null)
		row.iv = Octets(sealed.companion, sealed.companion + sealed.companion_size);
	if (sealed.salt_size > 0)
		row.salt = Octets(sealed.salt, sealed.salt + sealed.salt_size);
	return row;
}

dbcrypt_status
seal(const Column &column, dbcrypt_ring *ring, const Octets &plaintext, Row *row)
{
	const auto context = column.context();
	Octets value(dbcrypt_scheme_seal_max_size(column.scheme(), column.encoding, plaintext.size()));
	value.shrink_to_fit();
	dbcrypt_sealed sealed;
	sealed.value = value.data();
	const auto status = dbcrypt_scheme_seal(column.scheme(), ring, &context, plaintext.data(),
											plaintext.size(), &sealed);
	if (status == DBCRYPT_OK)
		*row = row_of(sealed);
	return status;
}

dbcrypt_status
rotate(const Column &column, dbcrypt_ring *ring, const Row &row, Row *rotated, bool *changed)
{
	const auto context = column.context();
	const auto cell = row.cell();
	Octets value(dbcrypt_scheme_rotate_max_size(column.scheme(), column.encoding, &cell));
	value.shrink_to_fit();
	dbcrypt_sealed sealed;
	sealed.value = value.data();
	const auto status =
		dbcrypt_scheme_rotate(column.scheme(), ring, &context, &cell, &sealed, changed);
	if (status == DBCRYPT_OK && *changed)
		*rotated = row_of(sealed);
	return status;
}

/* Every scheme without authentication, in both types of column. */
std::vector<Column>
every_column()
{
	std::vector<Column> columns;
	for (size_t i = 0; dbcrypt_scheme_at(i) != nullptr; i++)
	{
		const auto *const traits = dbcrypt_scheme_traits_of(dbcrypt_scheme_at(i));
		if (!traits->authenticated)
			for (const auto encoding : {DBCRYPT_ENCODING_TEXT, DBCRYPT_ENCODING_BINARY})
				columns.push_back({traits->name, encoding, ""});
	}
	return columns;
}

} // namespace

TEST(Recorded, EverySchemeWithoutAuthenticationRecordsItsKey)
{
	EXPECT_EQ(every_column().size(), 4U);
	for (const auto &column : every_column())
		EXPECT_TRUE(dbcrypt_scheme_traits_of(column.scheme())->names_key) << column.name;
}

TEST(Pbkdf2, KnownAnswers)
{
	/* RFC 6070 */
	const auto derived = [](int rounds)
	{
		const Secret key = pbkdf2_sha1(secret(octets("password")), octets("salt"), rounds, 20);
		const Bytes bytes = reveal_secret(key);
		return hex({bytes.begin(), bytes.end()});
	};
	EXPECT_EQ(derived(1), "0c60c80f961f0e71f3a9b524af6012062fe037a6");
	EXPECT_EQ(derived(4096), "4b007901b765489abead49d926f721d065a429c1");
}

TEST(Utf8, WhatIsAndWhatIsNot)
{
	for (const char *good : {"", "61", "c280", "dfbf", "e0a080", "ed9fbf", "ee8080", "efbfbf",
							 "f0908080", "f48fbfbf", "6100c3a461"})
		EXPECT_TRUE(is_utf8(unhex(good))) << good;
	for (const char *bad :
		 {"80", "bf", "c0af", "c1bf", "c2", "c261", "e08080", "e09fbf", "eda080", "edbfbf", "e282",
		  "e28261", "f08080af", "f08fbfbf", "f4908080", "f5808080", "f88888a080", "ff", "61c3"})
		EXPECT_FALSE(is_utf8(unhex(bad))) << bad;
}

TEST(AesCbc, EveryPadding)
{
	const Secret key = secret(Octets(32, 7));
	const Octets iv(16, 3);
	const Octets plaintext = octets("0123456789abcde");
	Octets block(16);
	cbc_seal(key, iv.data(), plaintext, block.data());
	Octets padded = plaintext;
	padded.push_back(1);

	/* An iv that makes the one block decrypt to these bytes. */
	const auto iv_for = [&](const Octets &wanted)
	{
		Octets crafted(16);
		for (size_t i = 0; i < 16; i++)
			crafted[i] = static_cast<uint8_t>(iv[i] ^ padded[i] ^ wanted[i]);
		return crafted;
	};
	Octets out(16);
	size_t size;
	for (unsigned last = 0; last < 256; last++)
		for (size_t wrong = 0; wrong <= 16; wrong++)
		{
			Octets wanted(16, 0xAA);
			for (size_t i = 1; i <= 16 && i <= last; i++)
				wanted[16 - i] = static_cast<uint8_t>(last);
			wanted[15] = static_cast<uint8_t>(last);
			/* Byte "wrong" from the end is another one; 0: none is. */
			if (wrong > 1)
				wanted[16 - wrong] ^= 0x40;
			const bool good = last >= 1 && last <= 16 && (wrong <= 1 || wrong > last);
			const bool opened = cbc_open(key, iv_for(wanted).data(), block, out.data(), &size);
			ASSERT_EQ(opened, good) << last << " " << wrong;
			if (good)
				ASSERT_EQ(size, 16 - last);
		}
	EXPECT_FALSE(cbc_open(key, iv.data(), {}, out.data(), &size));
	EXPECT_FALSE(cbc_open(key, iv.data(), Bytes(block).first(15), out.data(), &size));
}

TEST(GitLabCbcVectors, OpenAndRotate)
{
	int good = 0;
	int bad = 0;
	for (const auto &v : load_vectors("gitlab.json"))
	{
		if (v.at("scheme").find("cbc") == std::string::npos)
			continue;
		SCOPED_TRACE(v.at("id"));
		const bool salted = v.count("salt") != 0;
		TestRing ring("text:" + other_text + ",text:" + v.at("db_key_base"));
		const Column column{salted ? "attr_encrypted_cbc" : "attr_encrypted_cbc_unsalted",
							DBCRYPT_ENCODING_TEXT, ring.id(1)};
		const Row row{octets(v.at("ciphertext")), octets(v.at("iv")),
					  salted ? std::optional(octets(v.at("salt"))) : std::nullopt};
		Octets plaintext;
		Row rotated;
		bool changed = true;
		if (v.at("valid") != "true")
		{
			EXPECT_EQ(open(column, ring, row, &plaintext), DBCRYPT_NOT_OPENED);
			EXPECT_EQ(rotate(column, ring, row, &rotated, &changed), DBCRYPT_NOT_OPENED);
			EXPECT_FALSE(changed);
			bad++;
			continue;
		}
		EXPECT_EQ(open(column, ring, row, &plaintext), DBCRYPT_OK);
		EXPECT_EQ(hex(plaintext), v.at("plaintext_hex"));
		/* Spelled as the gem spells it, under the new key alone. */
		ASSERT_EQ(rotate(column, ring, row, &rotated, &changed), DBCRYPT_OK);
		EXPECT_TRUE(changed);
		TestRing fresh("text:" + other_text);
		Column now = column;
		now.key = ring.id(0);
		EXPECT_EQ(open(now, fresh, rotated, &plaintext), DBCRYPT_OK);
		EXPECT_EQ(hex(plaintext), v.at("plaintext_hex"));
		EXPECT_EQ(rotated.value.size(), row.value.size());
		EXPECT_EQ(rotated.iv->size(), row.iv->size());
		EXPECT_EQ(rotated.salt.has_value(), salted);
		if (salted)
		{
			EXPECT_EQ(rotated.salt->size(), row.salt->size());
			EXPECT_EQ((*rotated.salt)[0], '_');
			EXPECT_NE(*rotated.salt, *row.salt);
		}
		good++;
	}
	EXPECT_GT(good, 10);
	EXPECT_GT(bad, 1);
}

TEST(GitLabCbcVectors, AWrongKeyThatOpensByChanceIsNoText)
{
	for (const auto &v : load_vectors("gitlab.json"))
	{
		if (v.at("id") != "cbc_wrong_key_false_positive")
			continue;
		TestRing ring("text:" + v.at("db_key_base"));
		Column column{"attr_encrypted_cbc", DBCRYPT_ENCODING_TEXT, ring.id(0)};
		const Row row{octets(v.at("ciphertext")), octets(v.at("iv")), octets(v.at("salt"))};
		Octets plaintext;
		EXPECT_EQ(open(column, ring, row, &plaintext), DBCRYPT_OK);
		column.text = true;
		EXPECT_EQ(open(column, ring, row, &plaintext), DBCRYPT_NOT_OPENED);
		for (const uint8_t byte : plaintext)
			EXPECT_EQ(byte, 0) << "plaintext is left";
		return;
	}
	FAIL() << "no such vector";
}

TEST(Recorded, SealsOpensAndRotatesAtEverySize)
{
	TestRing old("text:" + long_text);
	TestRing ring("text:" + other_text + ",text:" + long_text);
	TestRing fresh("text:" + other_text);
	for (auto column : every_column())
	{
		std::vector<size_t> sizes;
		for (size_t size = 0; size < 34; size++)
			sizes.push_back(size);
		sizes.insert(sizes.end(), {1000, 1000003});
		for (const size_t size : sizes)
		{
			SCOPED_TRACE(column.name + std::to_string(column.encoding) + " " +
						 std::to_string(size));
			Octets plaintext(size);
			for (size_t i = 0; i < size; i++)
				plaintext[i] = static_cast<uint8_t>(i * 37 + 1);
			Row row;
			Row rotated;
			Octets out;
			bool changed;
			ASSERT_EQ(seal(column, old, plaintext, &row), DBCRYPT_OK);
			column.key = old.id(0);
			ASSERT_EQ(rotate(column, ring, row, &rotated, &changed), DBCRYPT_OK);
			EXPECT_EQ(changed, size > 0);
			if (size == 0)
			{
				EXPECT_TRUE(row.value.empty() && !row.iv && !row.salt);
				continue;
			}
			ASSERT_EQ(open(column, old, row, &out), DBCRYPT_OK);
			EXPECT_EQ(out, plaintext);
			column.key = fresh.id(0);
			ASSERT_EQ(open(column, fresh, rotated, &out), DBCRYPT_OK);
			EXPECT_EQ(out, plaintext);
			/* Under the primary key already: it must open all the same. */
			ASSERT_EQ(rotate(column, ring, rotated, &row, &changed), DBCRYPT_OK);
			EXPECT_FALSE(changed);
			rotated.iv->resize(10);
			EXPECT_EQ(rotate(column, ring, rotated, &row, &changed), DBCRYPT_NOT_OPENED);
		}
	}
}

TEST(Recorded, WhateverIsWrongHasOneStatus)
{
	TestRing ring("text:" + other_text + ",text:" + long_text);
	for (auto column : every_column())
	{
		SCOPED_TRACE(column.name + std::to_string(column.encoding));
		column.key = ring.id(0);
		Row good;
		ASSERT_EQ(seal(column, ring, octets("a value of two blocks"), &good), DBCRYPT_OK);
		std::vector<Row> rows;
		for (int i = 0; i < 6; i++)
			rows.push_back(good);
		rows[0].iv = std::nullopt;
		rows[1].iv->clear();
		rows[2].value.resize(good.value.size() / 2 - 1);
		rows[3].value[0] ^= 0x01; /* the padding of the last block stays */
		rows[4].salt = column.salted() ? std::nullopt : rows[4].salt;
		rows[5].salt = column.salted() ? std::optional<Octets>(Octets()) : rows[5].salt;
		for (size_t i = 0; i < rows.size(); i++)
		{
			Octets out;
			const auto status = open(column, ring, rows[i], &out);
			/* Nothing tells that one byte of an early block was changed. */
			if (i == 3 || (i > 3 && !column.salted()))
				EXPECT_TRUE(status == DBCRYPT_OK || status == DBCRYPT_NOT_OPENED) << i;
			else
				EXPECT_EQ(status, DBCRYPT_NOT_OPENED) << i;
		}
	}
}

TEST(Recorded, OnlyTheRecordedKeyIsUsed)
{
	TestRing old("text:" + long_text);
	TestRing ring("text:" + other_text + ",text:" + long_text);
	Octets out;
	for (auto column : every_column())
	{
		/* A value that both keys open, by chance: one in 256 is. */
		Column with_other = column;
		column.key = ring.id(1);
		with_other.key = ring.id(0);
		Row row;
		int tries = 0;
		do
			ASSERT_EQ(seal(column, old, octets("chance"), &row), DBCRYPT_OK);
		while (open(with_other, ring, row, &out) != DBCRYPT_OK && ++tries < 5000);
		ASSERT_LT(tries, 5000);
		EXPECT_NE(out, octets("chance"));
		ASSERT_EQ(open(column, ring, row, &out), DBCRYPT_OK);
		EXPECT_EQ(out, octets("chance"));

		dbcrypt_ring *const handle = ring;
		char id[DBCRYPT_KEY_ID_LEN + 1];
		const auto cell = row.cell();
		auto context = column.context();
		EXPECT_EQ(dbcrypt_scheme_identify(column.scheme(), handle, &context, &cell, out.data(), id),
				  DBCRYPT_OK);
		EXPECT_EQ(id, ring.id(1));
		context.recorded_key = nullptr;
		EXPECT_EQ(dbcrypt_scheme_identify(column.scheme(), handle, &context, &cell, out.data(), id),
				  DBCRYPT_KEY_NOT_LOADED);
		column.key = "";
		EXPECT_EQ(open(column, ring, row, &out), DBCRYPT_KEY_NOT_LOADED);
		column.key = "00000000000000";
		EXPECT_EQ(open(column, ring, row, &out), DBCRYPT_KEY_NOT_LOADED);
	}
}

TEST(Recorded, KeysAndTheirStates)
{
	TestRing ring("text:" + other_text + ",text:" + long_text);
	dbcrypt_ring *const handle = ring;
	for (auto column : every_column())
	{
		column.key = ring.id(1);
		Row row;
		Row rotated;
		Octets out;
		bool changed;
		ASSERT_EQ(seal(column, TestRing("text:" + long_text), octets("x"), &row), DBCRYPT_OK);
		dbcrypt_ring_set_state(handle, 1, DBCRYPT_STATE_REVOKED);
		EXPECT_EQ(open(column, ring, row, &out), DBCRYPT_KEY_REVOKED);
		EXPECT_EQ(rotate(column, ring, row, &rotated, &changed), DBCRYPT_KEY_REVOKED);
		dbcrypt_ring_set_state(handle, 1, DBCRYPT_STATE_REGISTERED);
		dbcrypt_ring_set_state(handle, 0, 0);
		EXPECT_EQ(rotate(column, ring, row, &rotated, &changed), DBCRYPT_KEY_NOT_REGISTERED);
		EXPECT_FALSE(changed);
		dbcrypt_ring_set_state(handle, 0, DBCRYPT_STATE_REGISTERED);

		/* A key without its text opens no salted value, and makes none. */
		TestRing bare(hex_key(1));
		column.key = bare.id(0);
		const auto expected = column.salted() ? DBCRYPT_KEY_HAS_NO_TEXT : DBCRYPT_OK;
		EXPECT_EQ(seal(column, bare, octets("x"), &row), expected);
		EXPECT_EQ(open(column, bare, row, &out), expected);
		EXPECT_EQ(seal(column, TestRing("text:x", 0), octets("x"), &row),
				  DBCRYPT_KEY_NOT_REGISTERED);
	}
}

TEST(Recorded, TheWholeTextIsTheKey)
{
	/* Two texts of one key: neither may be lost. */
	const std::string start(32, 'a');
	dbcrypt_ring *const ring = dbcrypt_ring_new(true);
	const auto add = [&](const std::string &list)
	{
		return dbcrypt_ring_add_list(ring, list.data(), list.size(), nullptr);
	};
	EXPECT_EQ(add("text:" + start + "1,text:" + start + "2"), DBCRYPT_KEY_TEXTS_DIFFER);
	EXPECT_EQ(dbcrypt_ring_count(ring), 0U);
	EXPECT_EQ(add("text:" + start + "1"), DBCRYPT_OK);
	EXPECT_EQ(add("text:" + start + "2"), DBCRYPT_KEY_TEXTS_DIFFER);
	EXPECT_EQ(add("text:" + start + "1"), DBCRYPT_OK);
	EXPECT_EQ(add(hex_key('a')), DBCRYPT_OK);
	EXPECT_EQ(dbcrypt_ring_count(ring), 1U);
	dbcrypt_ring_free(ring);
	dbcrypt_ring *const bare = dbcrypt_ring_new(true);
	const std::string both = hex_key('a') + ",text:" + start + "1";
	EXPECT_EQ(dbcrypt_ring_add_list(bare, both.data(), both.size(), nullptr),
			  DBCRYPT_KEY_TEXTS_DIFFER);
	dbcrypt_ring_free(bare);
}
