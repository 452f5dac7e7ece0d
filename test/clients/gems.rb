# Lets the Ruby gems Lockbox and attr_encrypted write values into PostgreSQL, and
# read them back and compare.
#
#   ruby gems.rb write|check CONNECTION MASTER_KEY DB_KEY_BASE
#
# Table plain says what is to be in each row; the others are made by the test.
require "stringio" # which lockbox needs, and does not require
require "base64"
require "digest"
require "lockbox"
require "attr_encrypted"
require "pg"

ACTION, CONNECTION, MASTER_KEY, DB_KEY_BASE = ARGV
Lockbox.master_key = MASTER_KEY

# What GitLab makes of its db_key_base.
GITLAB_KEY = DB_KEY_BASE.dup.force_encoding("UTF-8").each_char.with_object(+"".b) do |character, key|
  break key if key.bytesize + character.bytesize > 32
  key << character.b
end.ljust(32, "0")

def box(attribute, **options)
  Lockbox.new(key: Lockbox.attribute_key(table: "users", attribute: attribute), **options)
end

EMAIL = box("email_ciphertext", encode: true)
PHOTO = box("photo_ciphertext", encode: false)
BOUND = box("bound_ciphertext", encode: true)

class Hook
  extend AttrEncrypted
  attr_encrypted :url, key: GITLAB_KEY, algorithm: "aes-256-gcm", mode: :per_attribute_iv, encode: true
  attr_encrypted :token, key: GITLAB_KEY, algorithm: "aes-256-gcm", mode: :per_attribute_iv, encode: false, encode_iv: false
end

# A token as GitLab stores it, to be found by its ciphertext.
def gitlab_token(value)
  nonce = Digest::SHA256.hexdigest(value).slice(0, 12)
  sealed = Encryptor.encrypt(value: value, key: GITLAB_KEY, algorithm: "aes-256-gcm", iv: nonce)
  "|#{Base64.strict_encode64(sealed)}#{nonce}"
end

# What fits the index that finds it.
def token?(value)
  value.size.between?(1, 1000)
end

def bytea(bytes)
  bytes && { value: bytes, format: 1 }
end

db = PG.connect(CONNECTION)
plain = db.exec("SELECT id, value FROM plain ORDER BY id").map { |row| [row["id"], row["value"]] }

if ACTION == "write"
  plain.each do |id, value|
    db.exec_params("INSERT INTO users VALUES ($1, $2, $3, $4)",
                   [id, EMAIL.encrypt(value), bytea(PHOTO.encrypt(value)), BOUND.encrypt(value, associated_data: id)])
    hook = Hook.new
    hook.url = value
    hook.token = value
    db.exec_params("INSERT INTO hooks VALUES ($1, $2, $3, $4, $5)",
                   [id, hook.encrypted_url, hook.encrypted_url_iv, bytea(hook.encrypted_token), bytea(hook.encrypted_token_iv)])
    db.exec_params("INSERT INTO runners VALUES ($1, $2)", [id, gitlab_token(value)]) if token?(value)
  end
  exit
end

db.type_map_for_results = PG::BasicTypeMapForResults.new(db)
read = 0
plain.each do |id, value|
  user = db.exec_params("SELECT * FROM users WHERE id = $1", [id]).first
  row = db.exec_params("SELECT * FROM hooks WHERE id = $1", [id]).first
  hook = Hook.new
  %w[url token].each do |name|
    hook.send("encrypted_#{name}=", row["encrypted_#{name}"])
    hook.send("encrypted_#{name}_iv=", row["encrypted_#{name}_iv"])
  end
  found = { email: EMAIL.decrypt(user["email_ciphertext"]), photo: PHOTO.decrypt(user["photo_ciphertext"]),
            bound: BOUND.decrypt(user["bound_ciphertext"], associated_data: id), url: hook.url, token: hook.token }
  found[:runner] = db.exec_params("SELECT id FROM runners WHERE token_encrypted = $1", [gitlab_token(value)]).first&.fetch("id").to_s == id ? value : nil if token?(value)
  found.each do |name, text|
    abort "#{name} of row #{id} is wrong" unless text&.dup&.force_encoding("UTF-8") == value
    read += 1
  end
  # Spelled as the gem spells it.
  unless value.empty?
    abort "url of row #{id} is spelled otherwise" unless row["encrypted_url"] == [row["encrypted_url"].unpack1("m")].pack("m")
    abort "iv of row #{id} is spelled otherwise" unless row["encrypted_url_iv"] == [row["encrypted_url_iv"].unpack1("m")].pack("m")
  end
end
puts read
