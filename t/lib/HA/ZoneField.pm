# SPDX-License-Identifier: Apache-2.0
# Owns the fields that applications and the proxy tell each other about sessions (doc/zones.md, L1):
# what an answer says, and what a proxy would add to a request. Does no I/O.
package HA::ZoneField;
use v5.36;

use Exporter qw(import);
use MIME::Base64 qw(decode_base64url encode_base64url);

our @EXPORT_OK = qw(cart said told);

use constant PART_CHARS => 7000;

# What an answer says of its session: {word, id, new, ver, ttl, parts, state}, of which `word` is
# there always, '' without a field. Dies when the fields are not what the page says.
sub said($response)
{
    my @fields = $response->headers('HA-Session');
    my @data = $response->headers('HA-Session-Data');
    die "two HA-Session fields: @fields\n" if @fields > 1;
    die "HA-Session-Data without HA-Session: @data\n" if @data && !@fields;
    return {word => ''} if !@fields;
    my ($word, @parameters) = split /;\s*/, $fields[0];
    my %said = (word => $word);
    for my $parameter (@parameters) {
        $parameter =~ /^(?:(id|new)="([^"\\]{1,256})"|(ver|ttl|parts)=([1-9][0-9]{0,14}|0))$/
            or die "malformed: $parameter in $fields[0]\n";
        $said{$1 // $3} = $2 // $4;
    }
    die 'parts=' . ($said{parts} // 'none') . ' of ' . @data . "\n" if ($said{parts} // 0) != @data;
    $said{state} = _state(@data) if defined $said{parts};
    return \%said;
}

sub _state(@data)
{
    my $text = '';
    for my $i (0 .. $#data) {
        $data[$i] =~ /^$i; ([\w-]{1,${\PART_CHARS}})$/ or die "malformed part $i: $data[$i]\n";
        $text .= $1;
    }
    return decode_base64url($text);
}

# The fields of a request as a proxy adds them, for `headers`: told(fence => 3), told(fence => 3,
# word => 'restore', ver => 17, from => 'hostA', state => '...'), told(word => 'none').
sub told(%opt)
{
    my @fields = defined $opt{fence} ? ('HA-Fence' => $opt{fence}) : ();
    return @fields if !$opt{word};
    my @parts = unpack '(A' . PART_CHARS . ')*', encode_base64url($opt{state} // '');
    my $value = $opt{word};
    $value .= "; $_=$opt{$_}" for grep {defined $opt{$_}} 'ver';
    $value .= "; from=\"$opt{from}\"" if defined $opt{from};
    $value .= '; parts=' . @parts if defined $opt{state};
    push @fields, 'HA-Session' => $value;
    push @fields, 'HA-Session-Data' => "$_; $parts[$_]" for 0 .. $#parts;
    return @fields;
}

# What a page of appd shows of its session: {instance, epoch, version, visits, items, session}, the
# items with commas between; undef when it shows none.
sub cart($response)
{
    my ($instance, @pairs) = split ' ', $response->body;
    return undef if $response->status != 200 || !grep {/^session=/} @pairs;
    return {instance => $instance, map {split /=/, $_, 2} @pairs};
}

1;
