# Every vector of other applications' schemes through SQL: adopted, verified,
# rotated, converted, decrypted; what the application refused is refused here.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use FindBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('vectors', conf => 'dbcrypt.allow_weak_keys = on');

# What happens to one value, as text. Adopted after the value is there, which
# must work for a good one; a bad one is then adopted before it is there.
$node->safe_psql('postgres', q{
	CREATE FUNCTION life(keys text, columns text, row_sql text, scheme text, options jsonb, expected bytea,
		OUT adoption text, OUT before text, OUT rotation text, OUT after text, OUT same text)
	LANGUAGE plpgsql AS $$
	DECLARE
		detail text;
		current bigint;
	BEGIN
		PERFORM set_config('dbcrypt.key_file', '', true), set_config('dbcrypt.keys', keys, true);
		PERFORM dbcrypt_register_keys();
		EXECUTE format('CREATE TABLE vector (%s)', columns);
		BEGIN
			EXECUTE row_sql;
			PERFORM dbcrypt_adopt('vector', 'v', scheme, options);
			adoption := 'yes';
		EXCEPTION WHEN data_exception THEN
			GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
			adoption := CASE WHEN detail LIKE '%AES-256-CBC%' THEN 'CBC' ELSE 'refused' END;
			PERFORM dbcrypt_adopt('vector', 'v', scheme, options);
			EXECUTE row_sql;
		END;
		before := coalesce((SELECT string_agg(state, ' ') FROM dbcrypt_verify('vector', 'v')), 'none');
		BEGIN
			SELECT rotated || ' rotated', r.current INTO rotation, current FROM dbcrypt_rotate('vector', 'v') r;
			after := coalesce((SELECT string_agg(state, ' ') FROM dbcrypt_verify('vector', 'v')), 'none');
			PERFORM FROM dbcrypt_rotate('vector', 'v') r WHERE rotated = 0;
			IF NOT FOUND THEN after := 'rotated again'; END IF;
			PERFORM dbcrypt_convert('vector', 'v', '''''');
			IF scheme = 'containarium' AND NOT EXISTS (SELECT FROM vector WHERE dbcrypt_is_encrypted(v::text::bytea)) THEN
				same := 'left alone';
			ELSE
				SELECT CASE WHEN value = expected THEN 'same' WHEN substring(value FOR length(expected)) = expected THEN 'padded' END
					INTO same
					FROM (SELECT dbcrypt_decrypt(CASE WHEN pg_typeof(v) = 'bytea'::regtype THEN v::text::bytea ELSE decode(v::text, 'base64') END) AS value
							FROM vector) AS converted;
			END IF;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
			rotation := CASE WHEN detail LIKE '%row (0,%' THEN 'names the row' ELSE SQLERRM END;
		END;
		DROP TABLE vector;
	END $$;
});

my $new_key = secret_key('vectors');

sub text_sql { my ($text) = @_; return defined $text ? "convert_from('\\x" . unpack('H*', $text) . "', 'UTF8')" : 'NULL' }
sub bytea_sql { my ($hex) = @_; return defined $hex ? "'\\x$hex'::bytea" : 'NULL' }

# JSON::PP gives characters; the server takes their UTF-8.
sub utf8_of { my ($text) = @_; utf8::encode($text) if defined $text; return $text }

sub load
{
	my ($name) = @_;
	my $json = slurp_file("$FindBin::RealBin/../vectors/$name.json");
	return @{ JSON::PP->new->utf8->decode($json)->{vectors} };
}

my @cases;

# Adds a vector as a row of a table with column v, beside what else is given.
sub vector
{
	my ($file, $v, %case) = @_;
	my @columns = @{ $case{columns} };
	push @cases, {
		name => "$file: $v->{id}", vector => $v, expect => $case{expect},
		sql => sprintf("SELECT adoption, before, rotation, after, same FROM life(%s, '%s', %s, '%s', %s, %s)",
			text_sql(($case{new_key} // $new_key) . ",$case{key}"), join(', ', map { $_->[0] } @columns),
			text_sql(sprintf 'INSERT INTO vector VALUES (%s)', join(', ', map { $_->[1] } @columns)),
			$case{scheme}, text_sql(encode_json($case{options} // {})) . '::jsonb',
			bytea_sql($v->{plaintext_hex}))
	};
	return;
}

for my $v (load('coder'))
{
	my $plain = $v->{valid} && !$v->{key_id};
	vector('coder', $v, scheme => 'coder', key => $v->{key_hex} || key_hex(3),
		columns => [ [ 'v text', text_sql(utf8_of($v->{ciphertext})) ], [ 'v_key_id text', text_sql($v->{key_id}) ] ],
		expect => $plain ? 'plaintext' : $v->{valid} ? 'good' : 'bad');
}
for my $v (load('lockbox-ruby'))
{
	# The option is an attribute without or with the suffix: the same key.
	next if $v->{id} eq 'wrong_attribute';
	my %options = (table => $v->{hkdf_table}, attribute => $v->{hkdf_attribute});
	$options{aad} = bytea_sql($v->{aad_hex}) if $v->{aad_hex};
	vector('lockbox', $v, scheme => 'lockbox', key => $v->{key}, options => \%options,
		columns => [ $v->{encoding} eq 'raw' ? [ 'v bytea', bytea_sql($v->{ciphertext_hex}) ]
			: [ 'v text', text_sql(utf8_of($v->{ciphertext})) ] ],
		# A model leaves the empty string as it is.
		expect => ($v->{ciphertext} // 'x') eq '' ? 'empty' : !$v->{valid} ? 'bad' : $v->{padding} ? 'padded' : 'good');
}
for my $v (load('tooljet'))
{
	next if $v->{id} eq 'column_with_suffix';
	vector('tooljet', $v, scheme => 'tooljet', key => $v->{key},
		options => { table => $v->{hkdf_table}, attribute => $v->{hkdf_column} },
		columns => [ [ 'v text', text_sql(utf8_of($v->{ciphertext})) ] ],
		# ToolJet leaves the empty string in some columns.
		expect => ($v->{ciphertext} // 'x') eq '' ? 'empty' : $v->{valid} ? 'good' : 'bad');
}
for my $v (load('gitlab'))
{
	my $binary = exists $v->{ciphertext_hex};
	my $value = $binary ? [ 'v bytea', bytea_sql($v->{ciphertext_hex}) ] : [ 'v text', text_sql(utf8_of($v->{ciphertext})) ];
	my $key = 'text:' . utf8_of($v->{db_key_base});
	if ($v->{scheme} =~ /cbc/)
	{
		# Its own scheme, with the recorded key that the application has. One wrong key
		# opens a value, but to what is no text.
		vector('gitlab', $v, scheme => $v->{salt} ? 'attr_encrypted_cbc' : 'attr_encrypted_cbc_unsalted',
			key => $key, new_key => "text:$new_key$new_key",
			options => { key => key_id(unpack 'H*', substr($v->{db_key_base} . '0' x 32, 0, 32)) },
			columns => [ $value, [ 'v_iv text', text_sql($v->{iv}) ], $v->{salt} ? [ 'v_salt text', text_sql($v->{salt}) ] : () ],
			expect => $v->{valid} && $v->{id} !~ /false_positive/ ? 'recorded' : 'bad');
	}
	if ($v->{scheme} =~ /^attr_encrypted/)
	{
		vector('gitlab', $v, scheme => 'attr_encrypted', key => $key,
			columns => [ $value, $binary ? [ 'v_iv bytea', bytea_sql($v->{iv_hex}) ] : [ 'v_iv text', text_sql($v->{iv}) ] ],
			expect => $v->{scheme} =~ /cbc/ ? 'cbc' : !$v->{valid} ? 'bad' : ($v->{ciphertext} // 'x') eq '' ? 'empty' : 'good');
	}
	else
	{
		vector('gitlab', $v, scheme => 'gitlab_token', key => $key, columns => [ $value ],
			expect => $v->{valid} ? 'good' : 'bad');
	}
}
for my $v (load('containarium'))
{
	vector('containarium', $v, scheme => 'containarium', key => $v->{key_hex},
		columns => [ [ 'v bytea', bytea_sql($v->{ciphertext_hex}) ], [ 'nonce bytea', bytea_sql($v->{nonce_hex}) ],
			[ 'username text', text_sql(utf8_of($v->{username})) ], [ 'name text', text_sql(utf8_of($v->{name})) ],
			[ 'wrapped_dek bytea', bytea_sql($v->{wrapped_dek_hex}) ] ],
		expect => $v->{wrapped_dek_hex} ? 'skipped' : $v->{valid} ? 'good' : 'bad');
}

# adoption|before|rotation|after|same, by what is expected.
my %outcome = (
	good => qr/^yes\|old\|1 rotated\|primary\|same$/,
	# Padding is within the plaintext, the gem's affair.
	padded => qr/^yes\|old\|1 rotated\|primary\|padded$/,
	plaintext => qr/^yes\|not encrypted\|1 rotated\|primary\|same$/,
	empty => qr/^yes\|none\|0 rotated\|none\|(same)?$/,
	skipped => qr/^yes\|none\|0 rotated\|none\|left alone$/,
	bad => qr/^refused\|(failed|not loaded)\|names the row\|\|$/,
	recorded => qr/^yes\|old, unauthenticated\|1 rotated\|primary, unauthenticated\|same$/,
	cbc => qr/^CBC\|failed\|names the row\|\|$/);

my $session = new_session($node);
my %seen;
for my $case (@cases)
{
	my $expect = $case->{expect};
	my ($out, $err) = run_sql($session, $case->{sql});
	# A 16-byte iv is what CBC has, whoever wrote it there.
	$out =~ s/^CBC/refused/ if $expect eq 'bad';
	like($out, $outcome{$expect}, "$case->{name}: $expect") or diag $err;
	$seen{$expect}++;
}
$session->quit;
cmp_ok($seen{$_} // 0, '>', 0, "some vectors are $_") for sort keys %outcome;
my @logged = grep { slurp_file($node->logfile) =~ /\Q$_\E/ } $new_key, unpack('H*', 'a' x 32);
is_deeply(\@logged, [], 'no key in the log');
$node->stop;

done_testing();
