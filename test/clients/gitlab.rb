# GitLab's part in test/t/069_gitlab.pl, by the gems that GitLab uses: writes a value into
# every encrypted column of the database, or reads each and compares.
#
#   ruby gitlab.rb write|check CONNECTION DB_KEY_BASE
#
# A column is found by its name, as GitLab names them. What a column holds follows from
# its place.
require "base64"
require "digest"
require "securerandom" # which attr_encrypted needs, and does not require
require "attr_encrypted"
require "pg"

ACTION, CONNECTION, DB_KEY_BASE = ARGV
# These two have AES-256-CBC and no salt.
UNSALTED_CBC = %w[cluster_platforms_kubernetes cluster_providers_gcp].freeze
VARCHAR_255 = %w[grafana_integrations status_page_settings].freeze
OTP_KEY_BASE = "otp" * 40

# What GitLab makes of its db_key_base.
KEY_32 = DB_KEY_BASE.dup.force_encoding("UTF-8").each_char.with_object(+"".b) do |character, key|
  break key if key.bytesize + character.bytesize > 32
  key << character.b
end.ljust(32, "0")

# A model with the one attribute x, as attr_encrypted makes it for such a column.
def model(kind, base)
  Class.new do
    extend AttrEncrypted
    attr_accessor :encrypted_x, :encrypted_x_iv, :encrypted_x_salt
    case kind
    when :cbc_salt
      attr_encrypted :x, key: base, algorithm: "aes-256-cbc", mode: :per_attribute_iv_and_salt, insecure_mode: true, encode: true
    when :cbc_salt_raw
      attr_encrypted :x, key: base, algorithm: "aes-256-cbc", mode: :per_attribute_iv_and_salt, insecure_mode: true,
                         encode: false, encode_iv: false, encode_salt: false
    when :cbc
      attr_encrypted :x, key: KEY_32, algorithm: "aes-256-cbc", mode: :per_attribute_iv, insecure_mode: true, encode: true
    when :gcm
      attr_encrypted :x, key: KEY_32, algorithm: "aes-256-gcm", mode: :per_attribute_iv, encode: true
    when :gcm_raw
      attr_encrypted :x, key: KEY_32, algorithm: "aes-256-gcm", mode: :per_attribute_iv, encode: false, encode_iv: false
    end
  end
end

def plaintext(table, column, id)
  return Digest::SHA256.hexdigest("#{table} #{id}").slice(0, 32) if column == "encrypted_otp_secret"

  # One block, two, and many lines of base64; not all of it ASCII.
  "#{table}.#{column} #{id} värde".slice(0, [8, 25, 1000][id % 3]) + (id % 3 == 2 && !VARCHAR_255.include?(table) ? " lång" * 40 : "")
end

def token(value)
  nonce = Digest::SHA256.hexdigest(value).slice(0, 12)
  sealed = Encryptor.encrypt(value: value, key: KEY_32, algorithm: "aes-256-gcm", iv: nonce)
  "|#{Base64.strict_encode64(sealed)}#{nonce}"
end

def bound(bytes, binary)
  binary && bytes ? { value: bytes, format: 1 } : bytes
end

db = PG.connect(CONNECTION)
columns = db.exec(<<~SQL).map { |row| row.transform_keys(&:to_sym) }
  SELECT c.relname AS table, a.attname AS column, a.atttypid = 'bytea'::regtype AS binary,
         EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = a.attname || '_salt') AS salt
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
   WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
     AND (a.attname LIKE '%\\_encrypted'
          OR a.attname LIKE 'encrypted\\_%' AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = a.attname || '_iv'))
   ORDER BY 1, 2
SQL
count = 0
columns.each do |place|
  table, column = place.values_at(:table, :column)
  binary = place[:binary] == "t"
  salt = place[:salt] == "t"
  if column.end_with?("_encrypted")
    db.exec("SELECT id FROM #{table} ORDER BY id").each do |row|
      value = "#{table} #{column} #{row['id']}"
      count += 1
      if ACTION == "write"
        db.exec_params("UPDATE #{table} SET #{column} = $2 WHERE id = $1", [row["id"], token(value)])
      else
        # As GitLab does: by the ciphertext.
        found = db.exec_params("SELECT id FROM #{table} WHERE #{column} = $1", [token(value)]).map { |found_row| found_row["id"] }
        abort "#{table}.#{column} of row #{row['id']} is not found" unless found == [row["id"]]
      end
    end
    next
  end
  otp = column == "encrypted_otp_secret"
  kind = salt ? (binary ? :cbc_salt_raw : :cbc_salt) : UNSALTED_CBC.include?(table) ? :cbc : binary ? :gcm_raw : :gcm
  klass = model(kind, otp ? OTP_KEY_BASE : DB_KEY_BASE)
  names = [column, "#{column}_iv", *("#{column}_salt" if salt)]
  db.exec("SELECT id, #{names.join(', ')} FROM #{table} ORDER BY id").each do |row|
    id = row["id"].to_i
    value = plaintext(table, column, id)
    record = klass.new
    count += 1
    if ACTION == "write"
      # GitLab leaves NULL and '' as they are.
      record.x = value
      changes = [record.encrypted_x, record.encrypted_x_iv, *(record.encrypted_x_salt if salt)].map { |bytes| bound(bytes, binary) }
      sets = names.each_with_index.map { |name, i| "#{name} = $#{i + 2}" }.join(", ")
      db.exec_params("UPDATE #{table} SET #{sets} WHERE id = $1", [id, *changes])
    else
      stored = names.map { |name| binary ? PG::Connection.unescape_bytea(row[name]) : row[name] }
      record.encrypted_x, record.encrypted_x_iv, record.encrypted_x_salt = stored
      read = record.x
      abort "#{table}.#{column} of row #{id} is wrong" unless read&.dup&.force_encoding("UTF-8") == value
      unless binary
        abort "#{table}.#{column} of row #{id} is spelled otherwise" unless stored[0] == [stored[0].unpack1("m")].pack("m")
        abort "iv of #{table}.#{column} is spelled otherwise" unless stored[1] == [stored[1].unpack1("m")].pack("m")
      end
    end
  end
end
puts count
