#!/bin/bash
# The main job of dbcrypt on a table of OAuth tokens, in a throwaway server:
# encrypt, decrypt, add a key, rotate, verify, revoke. Leaves nothing behind.
# DEMO_ROWS chooses the size, 100000 unless told.
. "$(dirname "$0")/../test/harness/lib.sh"
set -eo pipefail

rows=${DEMO_ROWS:-100000}
here=$root/demo

bold='' plain=''
[ ! -t 1 ] || bold=$(printf '\033[1m') plain=$(printf '\033[0m')

say()
{
	printf '\n%s%s%s\n' "$bold" "$*" "$plain"
}

# Runs SQL and shows it.
run()
{
	printf '    %s;\n' "$1"
	query "$1" >/dev/null
}

# Runs SQL, shows it and its result.
show()
{
	printf '    %s;\n' "$1"
	psql -Xq -P footer=off -v ON_ERROR_STOP=1 -c "$1" | sed '/^$/d; s/^/        /'
}

# Runs show (or run), says how long it took for this many values.
timed() # values, show or run, SQL
{
	local start end
	start=$(date +%s%N)
	"$2" "$3"
	end=$(date +%s%N)
	awk -v ns=$((end - start)) -v n="$1" 'BEGIN {
		printf "        %.2f s, %d values per second\n", ns / 1e9, n / (ns / 1e9) }'
}

query()
{
	psql -XqAt -v ON_ERROR_STOP=1 -c "$1"
}

# The table's plaintext as one digest, through decryption.
digest()
{
	query "SELECT md5(string_agg(md5(access_token || refresh_token), '' ORDER BY user_id))
		FROM (SELECT user_id, dbcrypt_decrypt(access_token, 'oauth_tokens.access_token/' || user_id) AS access_token,
			dbcrypt_decrypt(refresh_token, 'oauth_tokens.refresh_token/' || user_id) AS refresh_token FROM oauth_tokens) t"
}

workspace_create
say "Building dbcrypt and starting a throwaway PostgreSQL"
server_copy
keys=$work/out/keys
server_start <<END
shared_preload_libraries = 'dbcrypt'
dbcrypt.key_file = '$keys'
shared_buffers = 256MB
max_wal_size = 4GB
END
echo "    $(query 'SHOW server_version'), in a temporary folder"

say "1. A table of $rows OAuth tokens, in plaintext"
psql -Xq -v ON_ERROR_STOP=1 -v rows="$rows" -f "$here/tokens.sql"
show "SELECT user_id, provider, access_token FROM oauth_tokens ORDER BY user_id LIMIT 2"
before=$(query "SELECT md5(string_agg(md5(access_token || refresh_token), '' ORDER BY user_id)) FROM oauth_tokens")

say "2. A key: made by dbcrypt, kept in a file that only the server's user can read"
query "CREATE EXTENSION dbcrypt"
first=$(query "SELECT dbcrypt_generate_key()")
key_file_write "$keys" <<<"$first"
query "SELECT pg_reload_conf()" >/dev/null
show "SELECT * FROM dbcrypt_register_keys()"

say "3. Encrypt both token columns; every value is bound to table, column and user_id"
timed $((2 * rows)) run "ALTER TABLE oauth_tokens
        ALTER access_token TYPE text USING dbcrypt_encrypt(access_token, 'oauth_tokens.access_token/' || user_id),
        ALTER refresh_token TYPE text USING dbcrypt_encrypt(refresh_token, 'oauth_tokens.refresh_token/' || user_id)"
run "SELECT dbcrypt_register_column('oauth_tokens', 'access_token', \$\$'oauth_tokens.access_token/' || user_id\$\$)"
run "SELECT dbcrypt_register_column('oauth_tokens', 'refresh_token', \$\$'oauth_tokens.refresh_token/' || user_id\$\$)"
show "SELECT user_id, left(access_token, 16) AS \"left(access_token, 16)\", dbcrypt_key_id(access_token) FROM oauth_tokens ORDER BY user_id LIMIT 1"
first_id=$(query "SELECT dbcrypt_key_id(access_token) FROM oauth_tokens LIMIT 1")

say "4. Decrypt: one value, then all"
show "SELECT dbcrypt_decrypt(access_token, 'oauth_tokens.access_token/' || user_id) FROM oauth_tokens WHERE user_id = 1"
timed "$rows" show "SELECT count(dbcrypt_decrypt(access_token, 'oauth_tokens.access_token/' || user_id)) FROM oauth_tokens"

say "5. A new key at the top of the key file: it encrypts, the old one still decrypts"
second=$(query "SELECT dbcrypt_generate_key()")
printf '%s\n' "$second" "$first" | key_file_write "$keys"
show "SELECT * FROM dbcrypt_register_keys()"

say "6. Rotate: a dry run, one column in place, the other in one transaction"
timed "$rows" show "SELECT * FROM dbcrypt_rotate('oauth_tokens', 'access_token', dry_run => true)"
timed "$rows" show "CALL dbcrypt_rotate_in_place('oauth_tokens', 'access_token')"
timed "$rows" show "SELECT * FROM dbcrypt_rotate('oauth_tokens', 'refresh_token')"

say "7. Verify: everything decrypts to what it was, under the new key alone"
show "SELECT dbcrypt_key_id(access_token) AS key_id, count(*) FROM oauth_tokens GROUP BY 1"
[ "$(digest)" = "$before" ] || fail "the decrypted tokens differ from the plaintext"
echo "    the digest of all tokens: $before, as before encryption"

say "8. Revoke the old key, and take it out of the file"
timed $((2 * rows)) run "SELECT dbcrypt_revoke_key('$first_id')"
key_file_write "$keys" <<<"$second"
show "SELECT key_id, is_primary, is_loaded, revoked_at IS NOT NULL AS revoked, canary_ok FROM dbcrypt_key_status"
[ "$(digest)" = "$before" ] || fail "the decrypted tokens differ from the plaintext"
echo "    the tokens still decrypt to the same digest"

server_stop
say "Done; the server is stopped and its folder removed"
