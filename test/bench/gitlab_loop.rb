# Rotation as GitLab's own kind of code does it: fetches the rows of each column, decrypts
# and encrypts each value with its gem, and updates it by primary key with a prepared
# statement, in one transaction.
#
#   ruby gitlab_loop.rb OLD_KEY NEW_KEY    keys in hex; prints milliseconds
require "base64"
require "digest"
require "openssl"
require "encryptor"
require "pg"

OLD_KEY, NEW_KEY = ARGV.map { |hex| [hex].pack("H*") }

def decrypt(value, iv)
  Encryptor.decrypt(value: value, key: OLD_KEY, algorithm: "aes-256-gcm", iv: iv)
end

def encrypt(value, iv)
  Encryptor.encrypt(value: value, key: NEW_KEY, algorithm: "aes-256-gcm", iv: iv)
end

def text(value, iv)
  iv_now = OpenSSL::Random.random_bytes(12)
  [encrypt(decrypt(value.unpack1("m"), iv.unpack1("m")), iv_now), iv_now].map { |bytes| [bytes].pack("m") }
end

def raw(value, iv)
  iv_now = OpenSSL::Random.random_bytes(12)
  value, iv = [value, iv].map { |bytes| PG::Connection.unescape_bytea(bytes) }
  [encrypt(decrypt(value, iv), iv_now), iv_now].map { |bytes| { value: bytes, format: 1 } }
end

def token(value)
  plaintext = decrypt(value[1...-12].unpack1("m"), value[-12..])
  nonce = Digest::SHA256.hexdigest(plaintext).slice(0, 12)
  ["|#{Base64.strict_encode64(encrypt(plaintext, nonce))}#{nonce}"]
end

PLACES = [
  ["jira_tracker_data", %w[encrypted_password encrypted_password_iv], method(:text)],
  ["slack_integrations", %w[encrypted_bot_access_token encrypted_bot_access_token_iv], method(:raw)],
  ["ci_runners", %w[token_encrypted], method(:token)],
  ["deploy_tokens", %w[token_encrypted], method(:token)]
].freeze

def now
  Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_millisecond)
end

db = PG.connect
begun = now
db.transaction do
  PLACES.each do |table, columns, change|
    sets = columns.each_with_index.map { |column, i| "#{column} = $#{i + 2}" }.join(", ")
    db.prepare(table, "UPDATE #{table} SET #{sets} WHERE id = $1")
    db.exec("SELECT id, #{columns.join(', ')} FROM #{table} WHERE #{columns[0]} IS NOT NULL").each_row do |id, *stored|
      db.exec_prepared(table, [id, *change.call(*stored)])
    end
  end
end
puts now - begun
