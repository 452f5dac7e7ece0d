#include "formats/scheme.h"

#include <optional>
#include <set>

#include "crypto/base64.h"
#include "formats/scheme_gcm.h"
#include "support.h"

using namespace dbcrypt;
using namespace test;

namespace
{

using Companion = std::optional<Octets>;

/* A value beside its companion, with storage of exactly its size. */
struct Row
{
	std::optional<Octets> value;
	Companion companion;

	dbcrypt_cell cell() const
	{
		static const uint8_t empty = 0;
		const auto start = [](const std::optional<Octets> &bytes) -> const uint8_t *
		{
			return !bytes ? nullptr : bytes->empty() ? &empty : bytes->data();
		};
		return {start(value), value ? value->size() : 0, start(companion),
				companion ? companion->size() : 0};
	}
	bool operator==(const Row &) const = default;
};

/* What a column's values are used with; owns its bytes. */
struct Place
{
	dbcrypt_encoding encoding = DBCRYPT_ENCODING_TEXT;
	Octets aad = {};
	Octets table = {};
	Octets attribute = {};

	dbcrypt_context context() const
	{
		return {encoding,	  aad.data(),		aad.size(),		 table.data(),
				table.size(), attribute.data(), attribute.size()};
	}
};

const dbcrypt_scheme *
scheme(const char *name)
{
	const dbcrypt_scheme *const found = dbcrypt_scheme_find(name);
	EXPECT_NE(found, nullptr) << name;
	return found;
}

dbcrypt_status
open(const char *name, dbcrypt_ring *ring, const Place &place, const Row &row, Octets *plaintext,
	 size_t *key = nullptr)
{
	const auto context = place.context();
	const auto cell = row.cell();
	plaintext->assign(dbcrypt_scheme_open_max_size(scheme(name), place.encoding, cell.value_size),
					  0xEE);
	plaintext->shrink_to_fit();
	size_t size = 0;
	size_t opened_by = 0;
	const auto status = dbcrypt_scheme_open(scheme(name), ring, &context, &cell, plaintext->data(),
											&size, key != nullptr ? key : &opened_by);
	if (status == DBCRYPT_OK)
		plaintext->resize(size);
	return status;
}

Row
row_of(const dbcrypt_sealed &sealed, const Octets &value)
{
	EXPECT_LE(sealed.value_size, value.size());
	Row row{Octets(value.begin(), value.begin() + static_cast<ptrdiff_t>(sealed.value_size)), {}};
	if (!sealed.companion_is_null)
		row.companion = Octets(sealed.companion, sealed.companion + sealed.companion_size);
	return row;
}

dbcrypt_status
seal(const char *name, dbcrypt_ring *ring, const Place &place, const Octets &plaintext, Row *row)
{
	const auto context = place.context();
	Octets value(dbcrypt_scheme_seal_max_size(scheme(name), place.encoding, plaintext.size()));
	value.shrink_to_fit();
	dbcrypt_sealed sealed;
	sealed.value = value.data();
	const auto status = dbcrypt_scheme_seal(scheme(name), ring, &context, plaintext.data(),
											plaintext.size(), &sealed);
	if (status == DBCRYPT_OK)
		*row = row_of(sealed, value);
	return status;
}

dbcrypt_status
rotate(const char *name, dbcrypt_ring *ring, const Place &place, const Row &row, Row *rotated,
	   bool *changed, Octets *buffer = nullptr)
{
	const auto context = place.context();
	const auto cell = row.cell();
	Octets value(dbcrypt_scheme_rotate_max_size(scheme(name), place.encoding, &cell), 0xEE);
	value.shrink_to_fit();
	dbcrypt_sealed sealed;
	sealed.value = value.data();
	const auto status =
		dbcrypt_scheme_rotate(scheme(name), ring, &context, &cell, &sealed, changed);
	if (status == DBCRYPT_OK && *changed)
		*rotated = row_of(sealed, value);
	if (buffer != nullptr)
		*buffer = value;
	return status;
}

/* Seals with that nonce under the only key of the list. */
Row
seal_with_nonce(const char *name, const std::string &key, const Place &place,
				const Octets &plaintext, const Octets &nonce)
{
	TestRing ring(key);
	const auto *const gcm = dynamic_cast<const GcmScheme *>(scheme(name));
	const auto context = place.context();
	Octets value(dbcrypt_scheme_seal_max_size(scheme(name), place.encoding, plaintext.size()));
	dbcrypt_sealed sealed;
	sealed.value = value.data();
	dbcrypt_ring *const handle = ring;
	gcm->seal_with_nonce(handle->at(0), context, plaintext, nonce.data(), &sealed);
	return row_of(sealed, value);
}

Octets
decoded(const Octets &text)
{
	Octets out(base64_reader_max_size(text.size()));
	size_t size = 0;
	base64_decode_as(Base64Reader::ruby, text.data(), text.size(), out.data(), &size);
	out.resize(size);
	return out;
}

Octets
first_bytes(const Octets &bytes, size_t size)
{
	return {bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size)};
}

/*
 * One vector: opens to its plaintext or is refused; rotates to a new key and back
 * under it; stays as it is under its own key.
 */
void
check(const char *name, const std::string &key, const Place &place, const Row &row, const Vector &v)
{
	SCOPED_TRACE(name + std::string(" ") + v.at("id"));
	TestRing ring(key);
	Octets plaintext;
	size_t by = 77;
	const auto status = open(name, ring, place, row, &plaintext, &by);
	Row rotated;
	bool changed = true;
	const std::string other = hex_key(0xE1);
	TestRing both(other + "," + key);

	if (v.at("valid") != "true")
	{
		EXPECT_TRUE(status == DBCRYPT_NOT_AN_ENVELOPE || status == DBCRYPT_AUTHENTICATION_FAILED ||
					status == DBCRYPT_KEY_NOT_LOADED)
			<< status;
		EXPECT_NE(rotate(name, both, place, row, &rotated, &changed), DBCRYPT_OK);
		EXPECT_FALSE(changed);
		return;
	}
	ASSERT_EQ(status, DBCRYPT_OK);
	EXPECT_EQ(by, 0U);
	EXPECT_EQ(hex(plaintext), v.at("plaintext_hex"));

	EXPECT_EQ(rotate(name, ring, place, row, &rotated, &changed), DBCRYPT_OK);
	EXPECT_FALSE(changed);
	ASSERT_EQ(rotate(name, both, place, row, &rotated, &changed), DBCRYPT_OK);
	EXPECT_TRUE(changed);
	TestRing only(other);
	Octets again;
	ASSERT_EQ(open(name, only, place, rotated, &again), DBCRYPT_OK);
	EXPECT_EQ(again, plaintext);
}

Companion
optional_text(const std::string &text)
{
	return text == "null" ? Companion() : Companion(octets(text));
}

} // namespace

/* Made by running Go, Ruby and Node. */
TEST(Base64Readers, ReadAsTheRealOnesDo)
{
	const std::pair<const char *, Base64Reader> readers[] = {
		{"go", Base64Reader::go}, {"ruby", Base64Reader::ruby}, {"node", Base64Reader::node}};
	for (const auto &v : load_vectors("base64-readers.json"))
		for (const auto &[name, reader] : readers)
		{
			const Octets in = unhex(v.at("text_hex"));
			Octets out(base64_reader_max_size(in.size()));
			size_t size = 0;
			const bool read = base64_decode_as(reader, in.data(), in.size(), out.data(), &size);
			EXPECT_EQ(read ? hex(first_bytes(out, size)) : "!", v.at(name))
				<< name << " " << text(in);
		}
}

TEST(SchemeTable, NamesAreFoundAndFew)
{
	std::set<std::string> names;
	for (size_t i = 0; dbcrypt_scheme_at(i) != nullptr; i++)
	{
		const auto *const traits = dbcrypt_scheme_traits_of(dbcrypt_scheme_at(i));
		EXPECT_TRUE(traits->text || traits->binary);
		EXPECT_EQ(dbcrypt_scheme_find(traits->name), dbcrypt_scheme_at(i));
		names.insert(traits->name);
	}
	EXPECT_EQ(names,
			  (std::set<std::string>{"native", "coder", "lockbox", "tooljet", "attr_encrypted",
									 "attr_encrypted_cbc", "attr_encrypted_cbc_unsalted",
									 "gitlab_token", "containarium"}));
	EXPECT_EQ(dbcrypt_scheme_find("lightrun"), nullptr);
	EXPECT_EQ(dbcrypt_scheme_find(""), nullptr);
}

TEST(SchemeTable, KeyNames)
{
	TestRing ring(hex_key(1) + "," + hex_key(0x61));
	EXPECT_EQ(dbcrypt_scheme_key_name(scheme("native"), ring, 1), ring.id(1));
	EXPECT_STREQ(dbcrypt_scheme_key_name(scheme("coder"), ring, 1), "864f702");
	EXPECT_EQ(dbcrypt_scheme_key_name(scheme("lockbox"), ring, 1), nullptr);
}

/* ---- known answers ---- */

TEST(CoderVectors, OpenRotateAndSpell)
{
	for (const auto &v : load_vectors("coder.json"))
	{
		const std::string key = v.at("key_hex");
		const Row row{octets(v.at("ciphertext")), optional_text(v.at("key_id"))};
		TestRing ring(key);
		if (!row.companion || row.companion->empty())
		{
			const auto cell = row.cell();
			EXPECT_EQ(dbcrypt_scheme_inspect(scheme("coder"), &cell), DBCRYPT_CELL_PLAINTEXT);
			continue;
		}
		check("coder", key, {}, row, v);
		if (v.at("valid") != "true")
			continue;
		const Row spelled = seal_with_nonce("coder", key, {}, unhex(v.at("plaintext_hex")),
											first_bytes(decoded(*row.value), 12));
		EXPECT_EQ(spelled == row, v.at("id").substr(0, 4) != "b64_") << v.at("id");
	}
}

TEST(CoderVectors, AKeyIdThatNamesAnotherKeyOfTheRing)
{
	std::set<std::string> keys;
	for (const auto &v : load_vectors("coder.json"))
		keys.insert(v.at("key_hex"));
	std::string list;
	for (const auto &key : keys)
		list += (list.empty() ? "" : ",") + key;
	TestRing ring(list);
	for (const auto &v : load_vectors("coder.json"))
		if (v.at("id") == "wrong_key_id_names_other_key")
		{
			Octets plaintext;
			EXPECT_EQ(open("coder", ring, {}, {octets(v.at("ciphertext")), octets(v.at("key_id"))},
						   &plaintext),
					  DBCRYPT_AUTHENTICATION_FAILED);
		}
}

TEST(LockboxVectors, OpenRotateAndSpell)
{
	for (const auto &v : load_vectors("lockbox-ruby.json"))
	{
		Place place{DBCRYPT_ENCODING_TEXT, unhex(v.at("aad_hex")), octets(v.at("hkdf_table")),
					octets(v.at("hkdf_attribute"))};
		Row row;
		if (v.at("encoding") == "raw")
		{
			place.encoding = DBCRYPT_ENCODING_BINARY;
			row.value = unhex(v.at("ciphertext_hex"));
		}
		else
			row.value = octets(v.at("ciphertext"));
		Vector expected = v;
		/* Padding is the application's, inside the encryption: ours to keep, not to take off. */
		if (v.count("padding") != 0)
			expected["plaintext_hex"] += "80" + std::string(18, '0');
		if (row.value->empty())
		{
			/* Empty stays empty in a column; the cipher itself refuses it. */
			Octets plaintext;
			EXPECT_EQ(open("lockbox", TestRing(v.at("key")), place, row, &plaintext),
					  DBCRYPT_NOT_AN_ENVELOPE);
			continue;
		}
		check("lockbox", v.at("key"), place, row, expected);
		if (v.at("valid") != "true")
			continue;
		const Octets blob =
			place.encoding == DBCRYPT_ENCODING_TEXT ? decoded(*row.value) : *row.value;
		const Row spelled =
			seal_with_nonce("lockbox", v.at("key"), place, unhex(expected.at("plaintext_hex")),
							first_bytes(blob, 12));
		EXPECT_EQ(spelled == row, v.at("id").substr(0, 4) != "b64_") << v.at("id");
	}
}

TEST(ToolJetVectors, OpenRotateAndSpell)
{
	for (const auto &v : load_vectors("tooljet.json"))
	{
		const Place place{DBCRYPT_ENCODING_TEXT,
						  {},
						  octets(v.at("hkdf_table")),
						  octets(v.at("hkdf_column") + "_ciphertext")};
		const Row row{octets(v.at("ciphertext")), {}};
		if (row.value->empty())
		{
			/* ToolJet leaves it empty in some columns; its cipher refuses it. */
			Octets plaintext;
			const auto cell = row.cell();
			EXPECT_EQ(dbcrypt_scheme_inspect(scheme("tooljet"), &cell), DBCRYPT_CELL_EMPTY);
			EXPECT_EQ(open("tooljet", TestRing(v.at("key")), place, row, &plaintext),
					  DBCRYPT_NOT_AN_ENVELOPE);
			continue;
		}
		check("tooljet", v.at("key"), place, row, v);
		if (v.at("valid") != "true")
			continue;
		const Row spelled =
			seal_with_nonce("tooljet", v.at("key"), place, unhex(v.at("plaintext_hex")),
							first_bytes(decoded(*row.value), 12));
		const bool lenient = v.at("id").substr(0, 4) == "b64_" && v.at("id") != "b64_urlsafe";
		EXPECT_EQ(spelled == row, !lenient) << v.at("id");
	}
}

TEST(ToolJetVectors, UrlSafeSpellingIsRead)
{
	size_t read = 0;
	for (const auto &v : load_vectors("tooljet.json"))
	{
		std::string url = v.at("ciphertext");
		if (v.at("valid") != "true" || url.find_first_of("+/") == std::string::npos)
			continue;
		for (char &c : url)
			c = c == '+' ? '-' : c == '/' ? '_' : c;
		const Place place{DBCRYPT_ENCODING_TEXT,
						  {},
						  octets(v.at("hkdf_table")),
						  octets(v.at("hkdf_column") + "_ciphertext")};
		Octets plaintext;
		EXPECT_EQ(open("tooljet", TestRing(v.at("key")), place, {octets(url), {}}, &plaintext),
				  DBCRYPT_OK);
		EXPECT_EQ(hex(plaintext), v.at("plaintext_hex"));
		EXPECT_NE(open("lockbox", TestRing(v.at("key")), place, {octets(url), {}}, &plaintext),
				  DBCRYPT_OK);
		read++;
	}
	EXPECT_GT(read, 10U);
}

/* The anchor of the derivation, from the description of the format. */
TEST(LockboxVectors, DerivedKey)
{
	const std::string master = std::string(63, '0') + "1";
	const Place place{DBCRYPT_ENCODING_TEXT, {}, octets("credentials"), octets("value_ciphertext")};
	const Octets nonce(12, 9);
	EXPECT_EQ(seal_with_nonce("lockbox", master, place, octets("x"), nonce).value,
			  seal_with_nonce("coder",
							  "6315274838dd88817f771a0a04c57a55d7f7659b05a59b81700b82c26152a15d",
							  {}, octets("x"), nonce)
				  .value);
}

TEST(GitLabVectors, OpenRotateAndSpell)
{
	std::map<std::string, int> seen;
	for (const auto &v : load_vectors("gitlab.json"))
	{
		SCOPED_TRACE(v.at("id"));
		const std::string key = "text:" + v.at("db_key_base");
		if (v.count("effective_key_hex") != 0 && v.at("key_rule").substr(0, 14) == "db_key_base_32")
			EXPECT_EQ(TestRing(key).id(0), TestRing(v.at("effective_key_hex")).id(0));

		const bool binary = v.count("ciphertext_hex") != 0;
		const Place place{binary ? DBCRYPT_ENCODING_BINARY : DBCRYPT_ENCODING_TEXT};
		const Row row{binary ? unhex(v.at("ciphertext_hex")) : octets(v.at("ciphertext")),
					  v.count("iv_hex") != 0 ? unhex(v.at("iv_hex"))
					  : v.count("iv") != 0	 ? optional_text(v.at("iv"))
											 : Companion()};
		if (v.at("scheme").find("cbc") != std::string::npos)
		{
			Octets plaintext;
			EXPECT_EQ(open("attr_encrypted", TestRing(key), place, row, &plaintext),
					  DBCRYPT_NOT_AN_ENVELOPE);
			seen["cbc"]++;
			continue;
		}
		if (v.at("scheme").find("gcm") != std::string::npos)
		{
			const auto cell = row.cell();
			if (v.at("ciphertext" + std::string(binary ? "_hex" : "")).empty())
			{
				EXPECT_EQ(dbcrypt_scheme_inspect(scheme("attr_encrypted"), &cell),
						  DBCRYPT_CELL_EMPTY);
				Row sealed;
				EXPECT_EQ(seal("attr_encrypted", TestRing(key), place, {}, &sealed), DBCRYPT_OK);
				EXPECT_EQ(sealed, (Row{Octets(), {}}));
				seen["empty"]++;
				continue;
			}
			check("attr_encrypted", key, place, row, v);
			seen["gcm"]++;
			if (v.at("valid") != "true")
				continue;
			const Row spelled =
				seal_with_nonce("attr_encrypted", key, place, unhex(v.at("plaintext_hex")),
								binary ? *row.companion : decoded(*row.companion));
			EXPECT_EQ(spelled == row, v.at("id").find("without") == std::string::npos);
			continue;
		}
		check("gitlab_token", key, place, row, v);
		seen["token"]++;
		if (v.at("valid") != "true")
			continue;
		/* The newer spelling is one function of key and plaintext; the older is only read. */
		Row sealed;
		ASSERT_EQ(seal("gitlab_token", TestRing(key), place, unhex(v.at("plaintext_hex")), &sealed),
				  DBCRYPT_OK);
		EXPECT_EQ(sealed == row, v.at("ciphertext")[0] == '|');
	}
	EXPECT_EQ(seen["empty"], 1);
	EXPECT_GT(seen["cbc"], 10);
	EXPECT_GT(seen["gcm"], 15);
	EXPECT_GT(seen["token"], 15);
}

TEST(ContainariumVectors, OpenRotateAndSpell)
{
	for (const auto &v : load_vectors("containarium.json"))
	{
		const Place place{DBCRYPT_ENCODING_BINARY, unhex(v.at("aad_hex"))};
		const Row row{unhex(v.at("ciphertext_hex")), unhex(v.at("nonce_hex"))};
		if (v.at("wrapped_dek_hex") != "null")
		{
			/* Under a key of the row's own, which is not ours to open. */
			Octets plaintext;
			EXPECT_EQ(open("containarium", TestRing(v.at("key_hex")), place, row, &plaintext),
					  DBCRYPT_AUTHENTICATION_FAILED);
			continue;
		}
		check("containarium", v.at("key_hex"), place, row, v);
		if (v.at("valid") == "true")
			EXPECT_EQ(seal_with_nonce("containarium", v.at("key_hex"), place,
									  unhex(v.at("plaintext_hex")), *row.companion),
					  row);
	}
}

/* ---- rules ---- */

namespace
{

struct Case
{
	const char *name;
	Place place;
};

/* Every scheme in every form that it has. */
std::vector<Case>
every_case()
{
	std::vector<Case> cases;
	for (size_t i = 0; dbcrypt_scheme_at(i) != nullptr; i++)
	{
		const auto *const traits = dbcrypt_scheme_traits_of(dbcrypt_scheme_at(i));
		for (const auto encoding : {DBCRYPT_ENCODING_TEXT, DBCRYPT_ENCODING_BINARY})
			/* Those without authentication have a test of their own. */
			if (traits->authenticated &&
				(encoding == DBCRYPT_ENCODING_TEXT ? traits->text : traits->binary))
				cases.push_back({traits->name,
								 {encoding, traits->aad ? octets("bound") : Octets(), octets("t"),
								  octets("a_ciphertext")}});
	}
	return cases;
}

Octets
sample(size_t size)
{
	Octets bytes(size);
	for (size_t i = 0; i < size; i++)
		bytes[i] = static_cast<uint8_t>(i * 37 + i / 5 + 1);
	return bytes;
}

} // namespace

TEST(EveryScheme, SealsOpensAndRotatesAtEverySize)
{
	TestRing old(hex_key(2));
	TestRing ring(hex_key(1) + "," + hex_key(3) + "," + hex_key(2));
	TestRing fresh(hex_key(1));
	std::vector<size_t> sizes;
	for (size_t size = 0; size < 200; size++)
		sizes.push_back(size);
	sizes.insert(sizes.end(), {1000, 5000, 1000003});
	for (const auto &[name, place] : every_case())
		for (const size_t size : sizes)
		{
			SCOPED_TRACE(name + std::to_string(place.encoding) + " " + std::to_string(size));
			const auto *const traits = dbcrypt_scheme_traits_of(scheme(name));
			const Octets plaintext = sample(size);
			Row row;
			ASSERT_EQ(seal(name, old, place, plaintext, &row), DBCRYPT_OK);
			EXPECT_EQ(row.companion.has_value(), traits->companion != DBCRYPT_COMPANION_NONE &&
													 !(size == 0 && traits->keeps_empty));
			Row rotated;
			bool changed = true;
			if (size == 0 && traits->keeps_empty)
			{
				EXPECT_EQ(row, (Row{Octets(), {}}));
				EXPECT_EQ(rotate(name, ring, place, row, &rotated, &changed), DBCRYPT_OK);
				EXPECT_FALSE(changed);
				continue;
			}
			const auto cell = row.cell();
			EXPECT_EQ(dbcrypt_scheme_inspect(scheme(name), &cell), DBCRYPT_CELL_ENCRYPTED);
			Octets opened;
			size_t by;
			ASSERT_EQ(open(name, ring, place, row, &opened, &by), DBCRYPT_OK);
			EXPECT_EQ(opened, plaintext);
			EXPECT_EQ(by, 2U);
			ASSERT_EQ(rotate(name, ring, place, row, &rotated, &changed), DBCRYPT_OK);
			ASSERT_TRUE(changed);
			EXPECT_EQ(rotated.value->size(), row.value->size());
			ASSERT_EQ(open(name, fresh, place, rotated, &opened, &by), DBCRYPT_OK);
			EXPECT_EQ(opened, plaintext);
			EXPECT_EQ(by, 0U);
			Row none;
			ASSERT_EQ(rotate(name, ring, place, rotated, &none, &changed), DBCRYPT_OK);
			EXPECT_FALSE(changed);
		}
}

TEST(EveryScheme, EveryChangedBitIsRefusedAndLeavesNoPlaintext)
{
	TestRing ring(hex_key(1) + "," + hex_key(2));
	const Octets plaintext = octets("no byte of this may stay");
	for (const auto &[name, place] : every_case())
	{
		Row good;
		ASSERT_EQ(seal(name, TestRing(hex_key(2)), place, plaintext, &good), DBCRYPT_OK);
		for (size_t at = 0; at < good.value->size(); at++)
			for (int bit = 0; bit < 8; bit++)
			{
				Row bad = good;
				(*bad.value)[at] ^= static_cast<uint8_t>(1 << bit);
				Octets out;
				Row rotated;
				Octets buffer;
				bool changed;
				const auto status = open(name, ring, place, bad, &out);
				const auto rotating = rotate(name, ring, place, bad, &rotated, &changed, &buffer);
				/* Characters that a lenient reader skips or reads alike change nothing. */
				if (status == DBCRYPT_OK)
				{
					EXPECT_EQ(place.encoding, DBCRYPT_ENCODING_TEXT);
					EXPECT_EQ(out, plaintext) << name << at;
					continue;
				}
				EXPECT_NE(rotating, DBCRYPT_OK) << name << at;
				EXPECT_EQ(text(out).find("may stay"), std::string::npos) << name << at;
				EXPECT_EQ(text(buffer).find("may stay"), std::string::npos) << name << at;
			}
	}
}

TEST(EveryScheme, WhatItIsBoundToIsChecked)
{
	TestRing ring(hex_key(1));
	for (const auto &[name, place] : every_case())
	{
		const auto *const traits = dbcrypt_scheme_traits_of(scheme(name));
		Row row;
		ASSERT_EQ(seal(name, ring, place, octets("x"), &row), DBCRYPT_OK);
		Octets out;
		for (int changed = 0; changed < 3; changed++)
		{
			Place other = place;
			(changed == 0	? other.aad
			 : changed == 1 ? other.table
							: other.attribute) = octets("other");
			const bool bound = changed == 0 ? traits->aad : traits->hkdf;
			EXPECT_EQ(open(name, ring, other, row, &out),
					  bound ? DBCRYPT_AUTHENTICATION_FAILED : DBCRYPT_OK)
				<< name << changed;
			EXPECT_EQ(open(name, ring, place, row, &out), DBCRYPT_OK);
		}
	}
}

TEST(EveryScheme, KeysAndTheirStates)
{
	for (const auto &[name, place] : every_case())
	{
		SCOPED_TRACE(name);
		const bool names_key = dbcrypt_scheme_traits_of(scheme(name))->names_key;
		TestRing ring(hex_key(1) + "," + hex_key(2));
		Row row;
		Row other;
		bool changed;
		Octets out;
		ASSERT_EQ(seal(name, TestRing(hex_key(2)), place, octets("x"), &row), DBCRYPT_OK);

		EXPECT_EQ(open(name, TestRing(""), place, row, &out), DBCRYPT_NO_KEYS);
		EXPECT_EQ(rotate(name, TestRing(""), place, row, &other, &changed), DBCRYPT_NO_KEYS);
		EXPECT_EQ(open(name, TestRing(hex_key(3)), place, row, &out),
				  names_key ? DBCRYPT_KEY_NOT_LOADED : DBCRYPT_AUTHENTICATION_FAILED);

		dbcrypt_ring_set_state(ring, 1, DBCRYPT_STATE_REGISTERED | DBCRYPT_STATE_REVOKED);
		EXPECT_EQ(open(name, ring, place, row, &out), DBCRYPT_KEY_REVOKED);
		EXPECT_EQ(text(out).find('x'), std::string::npos);
		EXPECT_EQ(rotate(name, ring, place, row, &other, &changed), DBCRYPT_KEY_REVOKED);
		dbcrypt_ring_set_state(ring, 1, 0);
		dbcrypt_ring_set_state(ring, 0, 0);
		EXPECT_EQ(rotate(name, ring, place, row, &other, &changed), DBCRYPT_KEY_NOT_REGISTERED);
		EXPECT_EQ(seal(name, ring, place, octets("x"), &other), DBCRYPT_KEY_NOT_REGISTERED);
		dbcrypt_ring_set_state(ring, 0, DBCRYPT_STATE_REGISTERED | DBCRYPT_STATE_BAD_CANARY);
		EXPECT_EQ(seal(name, ring, place, octets("x"), &other), DBCRYPT_KEY_CANARY_MISMATCH);
		EXPECT_FALSE(changed);

		/* What is under the primary key stays, whatever may be said of that key. */
		TestRing revoked(hex_key(2), DBCRYPT_STATE_REVOKED);
		EXPECT_EQ(rotate(name, revoked, place, row, &other, &changed), DBCRYPT_OK);
		EXPECT_FALSE(changed);
	}
}

TEST(EveryScheme, IdentifiesKeys)
{
	for (const auto &[name, place] : every_case())
	{
		SCOPED_TRACE(name);
		Row row;
		TestRing ring(hex_key(1) + "," + hex_key(2));
		ASSERT_EQ(seal(name, TestRing(hex_key(2)), place, octets("secret x"), &row), DBCRYPT_OK);
		const auto context = place.context();
		const auto cell = row.cell();
		Octets out(dbcrypt_scheme_open_max_size(scheme(name), place.encoding, cell.value_size));
		char id[DBCRYPT_KEY_ID_LEN + 1];
		const auto identify = [&](dbcrypt_ring *keys)
		{
			return dbcrypt_scheme_identify(scheme(name), keys, &context, &cell, out.data(), id);
		};
		EXPECT_EQ(identify(ring), DBCRYPT_OK);
		EXPECT_EQ(id, ring.id(1));
		EXPECT_EQ(text(out).find("secret"), std::string::npos);
		dbcrypt_ring_set_state(ring, 1, DBCRYPT_STATE_REVOKED);
		EXPECT_EQ(identify(ring), DBCRYPT_OK);
		EXPECT_EQ(id, ring.id(1));
		const auto without = identify(TestRing(hex_key(1)));
		if (std::string(name) == "native")
		{
			EXPECT_EQ(without, DBCRYPT_OK);
			EXPECT_EQ(id, ring.id(1));
		}
		else
		{
			EXPECT_EQ(without, std::string(name) == "coder" ? DBCRYPT_KEY_NOT_LOADED
															: DBCRYPT_AUTHENTICATION_FAILED);
			EXPECT_STREQ(id, "");
		}
	}
}

TEST(EveryScheme, NullStaysNull)
{
	for (const auto &[name, place] : every_case())
		for (const Companion &companion : {Companion(), Companion(octets("stale"))})
		{
			const Row row{{}, companion};
			const auto cell = row.cell();
			EXPECT_EQ(dbcrypt_scheme_inspect(scheme(name), &cell), DBCRYPT_CELL_NULL);
			Row rotated;
			bool changed = true;
			EXPECT_EQ(rotate(name, TestRing(""), place, row, &rotated, &changed), DBCRYPT_OK);
			EXPECT_FALSE(changed);
		}
}

TEST(EveryScheme, SizesThatNothingHolds)
{
	TestRing ring(hex_key(1));
	for (const auto &[name, place] : every_case())
	{
		for (const size_t size : {SIZE_MAX, SIZE_MAX / 2, size_t{68719476705}})
			EXPECT_EQ(dbcrypt_scheme_seal_max_size(scheme(name), place.encoding, size), SIZE_MAX)
				<< name;
		const auto context = place.context();
		const uint8_t byte = 0;
		uint8_t value;
		dbcrypt_sealed sealed;
		sealed.value = &value;
		EXPECT_EQ(dbcrypt_scheme_seal(scheme(name), ring, &context, &byte, SIZE_MAX / 2, &sealed),
				  DBCRYPT_TOO_LARGE);
	}
}

TEST(EveryScheme, ShortAndMalformedValues)
{
	TestRing ring(hex_key(1) + "," + hex_key(2));
	for (const auto &[name, place] : every_case())
	{
		Row good;
		ASSERT_EQ(seal(name, TestRing(hex_key(2)), place, sample(60), &good), DBCRYPT_OK);
		Octets out;
		Row rotated;
		bool changed;
		for (size_t size = 0; size + 3 < good.value->size(); size++)
		{
			const Row bad{first_bytes(*good.value, size), good.companion};
			EXPECT_NE(open(name, ring, place, bad, &out), DBCRYPT_OK) << name << size;
			const auto cell = bad.cell();
			if (dbcrypt_scheme_inspect(scheme(name), &cell) == DBCRYPT_CELL_ENCRYPTED)
				EXPECT_NE(rotate(name, ring, place, bad, &rotated, &changed), DBCRYPT_OK)
					<< name << size;
		}
	}
}

TEST(EveryScheme, WhatNamesThePrimaryKeyIsLeftUnopened)
{
	TestRing ring(hex_key(1) + "," + hex_key(2));
	for (const auto &[name, place] : every_case())
	{
		Row row;
		ASSERT_EQ(seal(name, ring, place, octets("plaintext"), &row), DBCRYPT_OK);
		/* Within the ciphertext, to another letter of base64. */
		uint8_t &byte = (*row.value)[row.value->size() / 2];
		byte = byte == 'A' ? 'B' : 'A';
		Row rotated;
		bool changed = true;
		const auto status = rotate(name, ring, place, row, &rotated, &changed);
		EXPECT_EQ(status, dbcrypt_scheme_traits_of(scheme(name))->names_key
							  ? DBCRYPT_OK
							  : DBCRYPT_AUTHENTICATION_FAILED)
			<< name;
		EXPECT_FALSE(changed);
	}
}

TEST(Coder, PlaintextIsEncryptedByRotation)
{
	TestRing ring(hex_key(0x61));
	for (const Companion &companion : {Companion(), Companion(Octets())})
	{
		Row rotated;
		bool changed = false;
		ASSERT_EQ(
			rotate("coder", ring, {}, {octets("not encrypted"), companion}, &rotated, &changed),
			DBCRYPT_OK);
		EXPECT_TRUE(changed);
		EXPECT_EQ(rotated.companion, octets("864f702"));
		Octets opened;
		EXPECT_EQ(open("coder", ring, {}, rotated, &opened), DBCRYPT_OK);
		EXPECT_EQ(text(opened), "not encrypted");
	}
}

TEST(Coder, BlankPlaintextStaysBlank)
{
	TestRing ring(hex_key(1));
	for (const Companion &companion : {Companion(), Companion(Octets())})
	{
		const Row blank{Octets(), companion};
		const auto cell = blank.cell();
		EXPECT_EQ(dbcrypt_scheme_inspect(scheme("coder"), &cell), DBCRYPT_CELL_EMPTY);
		Row rotated;
		bool changed = true;
		EXPECT_EQ(rotate("coder", ring, {}, blank, &rotated, &changed), DBCRYPT_OK);
		EXPECT_FALSE(changed);
	}
	/* With a key id it is a value, and not a good one. */
	const Row named{Octets(), octets("864f702")};
	const auto cell = named.cell();
	EXPECT_EQ(dbcrypt_scheme_inspect(scheme("coder"), &cell), DBCRYPT_CELL_ENCRYPTED);
}

TEST(Coder, KeyIdsAreExact)
{
	TestRing ring(hex_key(0x61));
	Row row;
	ASSERT_EQ(seal("coder", ring, {}, octets("x"), &row), DBCRYPT_OK);
	Octets out;
	for (const char *id : {"864F702", "864f70", "864f7022", "864f701", " 864f702"})
		EXPECT_EQ(open("coder", ring, {}, {row.value, octets(id)}, &out), DBCRYPT_KEY_NOT_LOADED)
			<< id;
}

TEST(AttrEncrypted, TheIvMustBeTheRightOne)
{
	TestRing ring(hex_key(1));
	for (const auto encoding : {DBCRYPT_ENCODING_TEXT, DBCRYPT_ENCODING_BINARY})
	{
		const Place place{encoding};
		Row row;
		ASSERT_EQ(seal("attr_encrypted", ring, place, octets("x"), &row), DBCRYPT_OK);
		Octets out;
		Row bad = row;
		bad.companion->push_back('A');
		bad.companion->insert(bad.companion->end(), 3, 'A');
		EXPECT_EQ(open("attr_encrypted", ring, place, bad, &out), DBCRYPT_NOT_AN_ENVELOPE);
		bad.companion->resize(7);
		EXPECT_EQ(open("attr_encrypted", ring, place, bad, &out), DBCRYPT_NOT_AN_ENVELOPE);
		bad.companion = Octets();
		EXPECT_EQ(open("attr_encrypted", ring, place, bad, &out), DBCRYPT_NOT_AN_ENVELOPE);
		bad.companion.reset();
		EXPECT_EQ(open("attr_encrypted", ring, place, bad, &out), DBCRYPT_NOT_AN_ENVELOPE);
	}
	/* An empty value keeps whatever iv is beside it. */
	Row rotated;
	bool changed = true;
	EXPECT_EQ(rotate("attr_encrypted", ring, {}, {Octets(), octets("stale")}, &rotated, &changed),
			  DBCRYPT_OK);
	EXPECT_FALSE(changed);
}

TEST(GitlabToken, IsDeterministicAndRotatedFromTheOlderSpelling)
{
	TestRing old(hex_key(2));
	TestRing ring(hex_key(1) + "," + hex_key(2));
	Row newer;
	Row again;
	ASSERT_EQ(seal("gitlab_token", old, {}, octets("token"), &newer), DBCRYPT_OK);
	ASSERT_EQ(seal("gitlab_token", old, {}, octets("token"), &again), DBCRYPT_OK);
	EXPECT_EQ(newer, again);
	/* The older: no bar, nonce from the key. */
	const Row sealed =
		seal_with_nonce("gitlab_token", hex_key(2), {}, octets("token"), Octets(12, 2));
	const Row older{Octets(sealed.value->begin() + 1, sealed.value->end() - 12), {}};
	Octets out;
	ASSERT_EQ(open("gitlab_token", ring, {}, older, &out), DBCRYPT_OK);
	EXPECT_EQ(text(out), "token");
	Row from_older;
	Row from_newer;
	bool changed;
	ASSERT_EQ(rotate("gitlab_token", ring, {}, older, &from_older, &changed), DBCRYPT_OK);
	ASSERT_EQ(rotate("gitlab_token", ring, {}, newer, &from_newer, &changed), DBCRYPT_OK);
	EXPECT_EQ(from_older, from_newer);
	EXPECT_EQ((*from_older.value)[0], '|');
	/* Under the primary key the older spelling stays: the application finds it too. */
	EXPECT_EQ(rotate("gitlab_token", old, {}, older, &from_older, &changed), DBCRYPT_OK);
	EXPECT_FALSE(changed);
}

TEST(GitlabToken, TheNonceIsTwelveCharacters)
{
	TestRing ring(hex_key(1));
	Octets out;
	Octets nonce = octets("0123456789ab");
	EXPECT_EQ(open("gitlab_token", ring, {},
				   seal_with_nonce("gitlab_token", hex_key(1), {}, octets("x"), nonce), &out),
			  DBCRYPT_OK);
	nonce[10] = 0xC3;
	nonce[11] = 0xA9;
	EXPECT_EQ(open("gitlab_token", ring, {},
				   seal_with_nonce("gitlab_token", hex_key(1), {}, octets("x"), nonce), &out),
			  DBCRYPT_NOT_AN_ENVELOPE);
}

TEST(Containarium, TheNonceIsTwelveBytes)
{
	TestRing ring(hex_key(1));
	const Place place{DBCRYPT_ENCODING_BINARY};
	Row row;
	ASSERT_EQ(seal("containarium", ring, place, octets("x"), &row), DBCRYPT_OK);
	Octets out;
	for (const Companion &companion :
		 {Companion(), Companion(Octets()), Companion(first_bytes(*row.companion, 11))})
		EXPECT_EQ(open("containarium", ring, place, {row.value, companion}, &out),
				  DBCRYPT_NOT_AN_ENVELOPE);
	row.companion->push_back(0);
	EXPECT_EQ(open("containarium", ring, place, row, &out), DBCRYPT_NOT_AN_ENVELOPE);
}

TEST(Lockbox, OneKeyForEveryTableAndAttribute)
{
	TestRing ring(hex_key(1));
	std::vector<std::pair<Place, Row>> rows;
	for (int i = 0; i < 6; i++)
	{
		Place place{DBCRYPT_ENCODING_TEXT,
					{},
					octets("t" + std::to_string(i / 2)),
					octets("a" + std::to_string(i % 2))};
		Row row;
		ASSERT_EQ(seal("lockbox", ring, place, octets(std::to_string(i)), &row), DBCRYPT_OK);
		rows.emplace_back(place, row);
	}
	for (int i = 0; i < 6; i++)
		for (int j = 0; j < 6; j++)
		{
			Octets out;
			EXPECT_EQ(open("lockbox", ring, rows[static_cast<size_t>(i)].first,
						   rows[static_cast<size_t>(j)].second, &out) == DBCRYPT_OK,
					  i == j);
		}
}
