-- Containarium's secrets; rows with a wrapped_dek belong to an external KMS.
CREATE TABLE secrets (
    username text NOT NULL, name text NOT NULL, ciphertext bytea NOT NULL, nonce bytea NOT NULL,
    version int NOT NULL DEFAULT 1, wrapped_dek bytea, kek_id text,
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (username, name));
CREATE INDEX ON secrets (username);
