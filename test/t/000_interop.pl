# What the server encrypts, an independent implementation decrypts, and the
# reverse; the known answers decrypt in the server.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use IPC::Run qw(run);
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;

my $tool = 'test/interop/envelope.py';

# What the tool prints for this input, or undef if it fails.
sub envelope_py
{
	my ($input, @arguments) = @_;
	my ($out, $err);
	return run([ 'python3', $tool, @arguments ], '<', \$input, '>', \$out, '2>', \$err)
	  ? $out
	  : undef;
}

my $known = decode_json(slurp_file('test/vectors/native-1.json'))->{vectors};
my %keys = map { $_->{key_hex} => 1 } @$known;
my $primary = key_hex(1);
my $node = new_node('interop', keys => [ $primary, sort keys %keys ], conf => 'dbcrypt.allow_weak_keys = on');

foreach my $value ('', 'x', 'token', "\xc3\xbc\xe2\x82\xac", 'y' x 5000)
{
	foreach my $aad ('', 'user 42', "Zo\xc3\xab")
	{
		my $name = length($value) . ' bytes, AAD of ' . length($aad);
		my $theirs = $node->safe_psql('postgres', "SELECT dbcrypt_encrypt('$value', '$aad')");
		is(envelope_py($theirs, 'decrypt', $primary, $aad), $value, "server to Python: $name");
		is(envelope_py($theirs, 'decrypt', $primary, "$aad!"), undef, "wrong AAD: $name");

		my $ours = envelope_py($value, 'encrypt', $primary, $aad);
		chomp $ours;
		is($node->safe_psql('postgres', "SELECT dbcrypt_decrypt('$ours', '$aad')"),
			$value, "Python to server: $name");
		my $hex = unpack('H*', decode_base64($ours));
		is( $node->safe_psql('postgres', "SELECT encode(dbcrypt_decrypt('\\x$hex'::bytea, '$aad'), 'hex')"),
			unpack('H*', $value),
			"Python to server, bytea: $name");
	}
}

foreach my $case (@$known)
{
	# AAD is text, so bytes that are not cannot be given to the server.
	my $aad = pack('H*', $case->{aad_hex});
	next unless $aad =~ /^[\x20-\x26\x28-\x7e]*$/;
	is( $node->safe_psql('postgres',
			"SELECT encode(dbcrypt_decrypt('\\x$case->{envelope_hex}'::bytea, '$aad'), 'hex')"),
		$case->{plaintext_hex},
		"known answer, bytea: $case->{name}");
	is( $node->safe_psql('postgres', "SELECT dbcrypt_key_id('$case->{envelope_text}')"),
		$case->{key_id}, "known answer, key id: $case->{name}");
}
is(envelope_py('', 'vectors'), slurp_file('test/vectors/native-1.json'),
	'the known answers are what their generator writes');

$node->stop;
done_testing();
