# What the tests of the documentation share: a page's blocks and its sections.
package PageTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use PostgreSQL::Test::Utils;

our @EXPORT = qw(blocks section anchors links);

# Blocks of a text: [language, text], the language '' where none is given. A block in a
# list is indented; its text is not.
sub blocks
{
	my ($page) = @_;
	my @blocks;
	while ($page =~ /^( *)```(\w*)\n(.*?)^\1```$/gms)
	{
		my ($indent, $language, $text) = ($1, $2, $3);
		$text =~ s/^$indent//gm;
		push @blocks, [ $language, $text ];
	}
	return @blocks;
}

# A page without its blocks.
sub prose
{
	my ($page) = @_;
	return $page =~ s/^( *)```\w*\n.*?^\1```$//gmsr;
}

# The text of a section, up to the next heading of its level.
sub section
{
	my ($page, $heading) = @_;
	my ($text) = $page =~ /^## \Q$heading\E\n(.*?)(?=^## |\z)/ms;
	return $text // die "there is no section \"$heading\"";
}

# What a link to a heading names it: as GitHub does.
sub anchors
{
	my ($page) = @_;
	return map { s/[^\w\- ]//gr =~ s/ /-/gr } map { lc } prose($page) =~ /^#+ (.*)$/gm;
}

# The links of a page that lead to other files or headings, not to the web.
sub links
{
	my ($page) = @_;
	return grep { !/^\w+:/ } prose($page) =~ /\]\(([^)\s]+)\)/g;
}

1;
