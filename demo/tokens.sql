-- A realistic table: opaque access tokens and longer refresh tokens.
CREATE TABLE oauth_tokens (
	user_id bigint PRIMARY KEY,
	provider text NOT NULL,
	access_token text NOT NULL,
	refresh_token text NOT NULL,
	expires_at timestamptz NOT NULL
);
CREATE INDEX ON oauth_tokens (expires_at);

INSERT INTO oauth_tokens
SELECT i,
	(ARRAY['google', 'github', 'slack', 'microsoft'])[1 + i % 4],
	'ya29.' || encode(sha256(int8send(i)), 'hex'),
	'1//0' || translate(encode(sha512(int8send(i)), 'base64'), E'+/=\n', '-_'),
	timestamptz '2026-01-01' + i * interval '1 minute'
FROM generate_series(1, :rows) AS i;

VACUUM ANALYZE oauth_tokens;
