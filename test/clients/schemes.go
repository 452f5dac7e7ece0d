// Coder's and Containarium's encryption, written from their formats with Go's own
// crypto, as those systems are written in Go.
//
//	schemes seal|open coder|containarium KEY <lines >lines
//
// KEY is 64 hex digits. Lines are those of schemes.js. A value that does not open ends
// the program with status 1.
package main

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

const nonceSize = 12

type row = map[string]any

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func text(r row, name string) string {
	s, _ := r[name].(string)
	return s
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	fail(err)
	return b
}

func newNonce() []byte {
	nonce := make([]byte, nonceSize)
	_, err := rand.Read(nonce)
	fail(err)
	return nonce
}

// The id of a key in Coder's *_key_id columns.
func coderDigest(key []byte) string {
	sum := sha256.Sum256(append([]byte("aes256gcm"), key...))
	return hex.EncodeToString(sum[:])[:7]
}

func sealCoder(gcm cipher.AEAD, key []byte, r row) {
	nonce := newNonce()
	r["value"] = base64.StdEncoding.EncodeToString(gcm.Seal(nonce, nonce, unhex(text(r, "plaintext")), nil))
	r["companion"] = coderDigest(key)
}

func openCoder(gcm cipher.AEAD, key []byte, r row) ([]byte, error) {
	if text(r, "companion") != coderDigest(key) {
		return nil, errors.New("under another key")
	}
	blob, err := base64.StdEncoding.DecodeString(text(r, "value"))
	if err != nil {
		return nil, err
	}
	if len(blob) < nonceSize {
		return nil, errors.New("too short")
	}
	return gcm.Open(nil, blob[:nonceSize], blob[nonceSize:], nil)
}

func containariumAAD(r row) []byte {
	return []byte(text(r, "username") + "\x00" + text(r, "name"))
}

func sealContainarium(gcm cipher.AEAD, _ []byte, r row) {
	nonce := newNonce()
	r["value"] = hex.EncodeToString(gcm.Seal(nil, nonce, unhex(text(r, "plaintext")), containariumAAD(r)))
	r["companion"] = hex.EncodeToString(nonce)
}

func openContainarium(gcm cipher.AEAD, _ []byte, r row) ([]byte, error) {
	return gcm.Open(nil, unhex(text(r, "companion")), unhex(text(r, "value")), containariumAAD(r))
}

func main() {
	action, scheme, key := os.Args[1], os.Args[2], unhex(os.Args[3])
	block, err := aes.NewCipher(key)
	fail(err)
	gcm, err := cipher.NewGCM(block)
	fail(err)
	seal, open := sealCoder, openCoder
	if scheme == "containarium" {
		seal, open = sealContainarium, openContainarium
	}

	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<26)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for in.Scan() {
		r := row{}
		fail(json.Unmarshal(in.Bytes(), &r))
		if action == "seal" {
			seal(gcm, key, r)
		} else {
			plaintext, err := open(gcm, key, r)
			fail(err)
			r["plaintext"] = hex.EncodeToString(plaintext)
		}
		line, err := json.Marshal(r)
		fail(err)
		_, err = out.Write(append(line, '\n'))
		fail(err)
	}
	fail(in.Err())
}
