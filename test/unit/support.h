/*
 * support.h
 *		What the unit tests share.
 */
#ifndef DBCRYPT_TEST_SUPPORT_H
#define DBCRYPT_TEST_SUPPORT_H

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "api/scheme.h"
#include "api/value.h"
#include "crypto/secret.h"

namespace test
{

using Octets = std::vector<uint8_t>;

/* The string members of one vector; true, false and null are spelled so. */
using Vector = std::map<std::string, std::string>;

/* Every element of "vectors" in test/vectors/NAME. */
std::vector<Vector> load_vectors(const std::string &name);

Octets unhex(std::string_view text);
std::string hex(const Octets &bytes);
Octets octets(std::string_view text);
std::string text(const Octets &bytes);
dbcrypt::Secret secret(const Octets &bytes);

/* 64 hex digits of the key of 32 such bytes. */
std::string hex_key(int byte);

/* A ring that frees itself; state is given to every key. */
class TestRing
{
public:
	explicit TestRing(const std::string &list, unsigned state = DBCRYPT_STATE_REGISTERED);
	~TestRing();
	TestRing(const TestRing &) = delete;
	TestRing &operator=(const TestRing &) = delete;
	operator dbcrypt_ring *() const { return ring_; }
	std::string id(size_t i) const;

private:
	dbcrypt_ring *ring_;
};

/* Through the C door, with buffers of exactly the promised sizes. */
Octets encrypt(dbcrypt_ring *ring, dbcrypt_encoding encoding, const Octets &plaintext,
			   const Octets &aad = {});
dbcrypt_status decrypt(dbcrypt_ring *ring, dbcrypt_encoding encoding, const Octets &envelope,
					   const Octets &aad, Octets *plaintext);

/* A temporary folder that goes with its files. */
class Folder
{
public:
	Folder();
	~Folder();
	Folder(const Folder &) = delete;
	Folder &operator=(const Folder &) = delete;
	std::string path(const std::string &name = "") const;
	/* Writes a file with that mode and gives its path. */
	std::string write(const std::string &name, std::string_view contents,
					  unsigned mode = 0600) const;

private:
	std::string path_;
};

/* The nth allocation by operator new from now on fails; -1: none does. */
void fail_allocation(int n);

} // namespace test

#endif
