# SPDX-License-Identifier: Apache-2.0
# Owns one HTTP/1.x response: cutting it out of a buffer, and what it says. Does no I/O.
package HA::Response;
use v5.36;

use Compress::Raw::Zlib;
use Exporter qw(import);

our @EXPORT_OK = qw(gunzip);

# What was compressed, as a text; undef when that is no gzip, or bytes follow it.
sub gunzip($bytes)
{
    my ($z) = Compress::Raw::Zlib::Inflate->new(-WindowBits => WANT_GZIP, -LimitOutput => 0);
    my $all = $bytes;
    my $status = $z->inflate($all, my $text);
    return $status == Z_STREAM_END && $all eq '' ? $text : undef;
}

# Cuts one whole response off the buffer. Undef, buffer untouched, while it is not complete; at the
# end of the connection a response with an error when it is cut short.
sub parse($class, $buffer, $method, $at_end)
{
    my @interim;
    my $at = 0;
    while (1) {
        my $end = index $$buffer, "\r\n\r\n", $at;
        return $at_end ? $class->failed(undef, $$buffer) : undef if $end < 0;
        my $self = $class->_head(substr($$buffer, $at, $end + 2 - $at))
            // return $class->failed('malformed head', $$buffer);
        $at = $end + 4;
        if ($self->{status} =~ /^1/ && $self->{status} != 101) {
            push @interim, $self;
            next;
        }
        $self->{interim} = \@interim;
        my $used = $self->_body($buffer, $at, $method, $at_end);
        if (!defined $used) {
            return $at_end ? $class->failed('closed within the body', $$buffer) : undef;
        }
        return $class->failed('malformed chunks', $$buffer) if $used < 0;
        substr($$buffer, 0, $used) = '';
        return $self;
    }
}

# A response that did not come. The error says why, what did come is kept.
sub failed($class, $error, $received = '')
{
    $error //= $received eq '' ? 'closed before the response' : 'closed within the response';
    my %empty = (fields => [], body => '', interim => []);
    return bless {status => 0, error => $error, received => $received, %empty}, $class;
}

sub _head($class, $text)
{
    my ($first, @lines) = split /\r\n/, $text;
    $first =~ m{^HTTP/1\.([01]) (\d{3})(?: (.*))?$} or return undef;
    my %line = (minor => $1, status => $2, reason => $3 // '');
    my $self = bless {%line, fields => [], body => ''}, $class;
    for my $line (@lines) {
        $line =~ /^([^:\s]+):[ \t]*(.*?)[ \t]*$/ or return undef;
        push @{$self->{fields}}, [$1, $2];
    }
    return $self;
}

# Where the body that begins at `at` ends; undef when it is not complete, -1 when it is malformed.
sub _body($self, $buffer, $at, $method, $at_end)
{
    return $at if $method eq 'HEAD' || $self->{status} =~ /^(?:1..|204|304)$/;
    if (lc($self->header('Transfer-Encoding') // '') eq 'chunked') {
        return $self->_chunks($buffer, $at);
    }
    my $n = $self->header('Content-Length');
    if (!defined $n) {
        $self->{until_close} = 1;
        return undef if !$at_end;
        $n = length($$buffer) - $at;
    }
    return undef if length($$buffer) - $at < $n;
    $self->{body} = substr $$buffer, $at, $n;
    return $at + $n;
}

sub _chunks($self, $buffer, $at)
{
    my @pieces;
    while (1) {
        my $end = index $$buffer, "\r\n", $at;
        return undef if $end < 0;
        substr($$buffer, $at, $end - $at) =~ /^([0-9A-Fa-f]+)[ \t]*(?:;.*)?$/ or return -1;
        my $n = hex $1;
        $at = $end + 2;
        last if $n == 0;
        return undef if length($$buffer) < $at + $n + 2;
        return -1 if substr($$buffer, $at + $n, 2) ne "\r\n";
        push @pieces, [$at, $n];
        $at += $n + 2;
    }
    my @trailers;
    while (1) {
        my $end = index $$buffer, "\r\n", $at;
        return undef if $end < 0;
        my $line = substr $$buffer, $at, $end - $at;
        $at = $end + 2;
        last if $line eq '';
        push @trailers, [$line =~ /^([^:]+):[ \t]*(.*?)[ \t]*$/];
    }
    $self->{trailers} = \@trailers;
    $self->{chunk_sizes} = [map {$_->[1]} @pieces];
    $self->{body} = join '', map {substr $$buffer, $_->[0], $_->[1]} @pieces;
    return $at;
}

sub status($self)  { return $self->{status} }
sub reason($self)  { return $self->{reason} }
sub body($self)    { return $self->{body} }
sub error($self)   { return $self->{error} }
sub fields($self)  { return $self->{fields} }
sub interim($self) { return $self->{interim} }
sub minor($self)   { return $self->{minor} }

# Nothing at all was received.
sub nothing($self)
{
    return !$self->{status} && ($self->{received} // '') eq '' && $self->{error} ne 'timeout';
}

# The first field of that name, or undef; all of them; one of the trailers.
sub header($self, $name)
{
    return ($self->headers($name))[0];
}

sub headers($self, $name)
{
    return map {$_->[1]} grep {lc $_->[0] eq lc $name} @{$self->{fields}};
}

sub trailer($self, $name)
{
    my ($found) = grep {lc $_->[0] eq lc $name} @{$self->{trailers} // []};
    return $found ? $found->[1] : undef;
}

# The instance that answered.
sub instance($self)
{
    return $self->header('X-Instance');
}

# The connection can carry a next request.
sub keeps_open($self)
{
    return 0 if $self->{until_close};
    my $connection = lc join ',', $self->headers('Connection');
    return $self->{minor} ? $connection !~ /\bclose\b/ : $connection =~ /\bkeep-alive\b/;
}

1;
