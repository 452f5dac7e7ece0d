-- A Rails application: models with has_encrypted, one with a blind index, one whose
-- table was renamed.
CREATE TABLE users (
    id bigserial PRIMARY KEY, name varchar NOT NULL, email_ciphertext text, email_bidx varchar,
    photo_ciphertext bytea, note_ciphertext text NOT NULL DEFAULT '',
    created_at timestamp(6) NOT NULL DEFAULT now(), updated_at timestamp(6) NOT NULL DEFAULT now());
CREATE UNIQUE INDEX index_users_on_email_bidx ON users (email_bidx);
CREATE TABLE messages (
    id bigserial PRIMARY KEY, user_id bigint NOT NULL REFERENCES users, body_ciphertext text,
    created_at timestamp(6) NOT NULL DEFAULT now(), updated_at timestamp(6) NOT NULL DEFAULT now());
CREATE INDEX index_messages_on_user_id ON messages (user_id);
