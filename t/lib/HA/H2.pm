# SPDX-License-Identifier: Apache-2.0
# Owns a small HTTP/2 client with prior knowledge (RFC 9113) that shows each head a stream has: one
# request for each connection, every field a literal. Reads what HPACK (RFC 7541) has of printable
# text.
package HA::H2;
use v5.36;

use HA::Client;
use List::Util qw(pairs);

use constant {FRAME_BYTES => 9, WINDOW => 1 << 20};
use constant {DATA => 0, HEADERS => 1, RST_STREAM => 3, SETTINGS => 4, GOAWAY => 7, WINDOW_UPDATE => 8, CONTINUATION => 9};
use constant {END_STREAM => 1, ACK => 1, END_HEADERS => 4, PADDED => 8, PRIORITY => 32};

# --- HPACK ----------------------------------------------------------------------------------------

# RFC 7541 A.
my @STATIC = (
    [':authority'], [':method', 'GET'], [':method', 'POST'], [':path', '/'], [':path', '/index.html'], [':scheme', 'http'],
    [':scheme', 'https'], map({[':status', $_]} 200, 204, 206, 304, 400, 404, 500), ['accept-charset'],
    ['accept-encoding', 'gzip, deflate'],
    map {[$_]} qw(accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control
        content-disposition content-encoding content-language content-length content-location content-range content-type
        cookie date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since
        last-modified link location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after
        server set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate)
);

# RFC 7541 B, as far as its characters are printable: by the length of their codes, which count up
# from the shortest.
my %LENGTHS = (
    5 => '012aceiost', 6 => ' %-./3456789=A_bdfghlmnpru', 7 => ':BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz', 8 => '&*,;XZ',
    10 => '!"()?', 11 => q('+|), 12 => '#>', 13 => "\0\$\@[]~", 14 => '^}', 15 => '<`{',
);
my %CODES;
{
    my ($code, $before) = (0, 0);
    for my $length (sort {$a <=> $b} keys %LENGTHS) {
        $code <<= $length - $before;
        $CODES{sprintf '%0*b', $length, $code++} = $_ for split //, $LENGTHS{$length};
        $before = $length;
    }
}

sub _unpack_huffman($bytes)
{
    my ($text, $code) = ('', '');
    for my $bit (split //, unpack 'B*', $bytes) {
        $code .= $bit;
        my $character = $CODES{$code} // next;
        $text .= $character;
        $code = '';
    }
    die "no printable text\n" if $code !~ /^1{0,7}$/;
    return $text;
}

sub _take_integer($block, $bits)
{
    my $most = (1 << $bits) - 1;
    my $value = ord(substr $$block, 0, 1, '') & $most;
    return $value if $value < $most;
    for (my $shift = 0;; $shift += 7) {
        my $byte = ord substr $$block, 0, 1, '';
        $value += ($byte & 127) << $shift;
        return $value if $byte < 128;
    }
}

sub _take_string($block)
{
    my $huffman = ord($$block) & 128;
    my $bytes = substr $$block, 0, _take_integer($block, 7), '';
    return $huffman ? _unpack_huffman($bytes) : $bytes;
}

sub _field($self, $index)
{
    return ($STATIC[$index - 1] // $self->{dynamic}[$index - 1 - @STATIC]) // die "no field $index\n";
}

sub _decode($self, $block)
{
    my @fields;
    while ($block ne '') {
        my $first = ord $block;
        if ($first & 128) {
            my $field = $self->_field(_take_integer(\$block, 7));
            push @fields, [$field->[0], $field->[1] // ''];
            next;
        }
        if (($first & 224) == 32) {
            _take_integer(\$block, 5);
            next;
        }
        my $index = _take_integer(\$block, $first & 64 ? 6 : 4);
        my $name = $index ? $self->_field($index)->[0] : _take_string(\$block);
        push @fields, [$name, _take_string(\$block)];
        unshift @{$self->{dynamic}}, $fields[-1] if $first & 64;
    }
    return \@fields;
}

sub _string($text)
{
    my $n = length $text;
    return ($n < 127 ? chr $n : chr(127) . _rest($n - 127)) . $text;
}

sub _rest($n)
{
    return $n < 128 ? chr $n : chr(128 | $n & 127) . _rest($n >> 7);
}

# Literals that are not indexed.
sub _encode(@fields)
{
    return join '', map {"\0" . _string($_->[0]) . _string($_->[1])} pairs @fields;
}

# --- frames ---------------------------------------------------------------------------------------

sub _frame($type, $flags, $stream, $payload)
{
    return substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $stream) . $payload;
}

sub _head($end, @fields)
{
    return _frame(HEADERS, END_HEADERS | ($end ? END_STREAM : 0), 1, _encode(@fields));
}

# The payload, without padding and priority.
sub _bare($payload, $flags)
{
    my $padding = $flags & PADDED ? ord substr $payload, 0, 1, '' : 0;
    substr $payload, 0, 5, '' if $flags & PRIORITY;
    return substr $payload, 0, length($payload) - $padding;
}

# A request, on a connection of its own, and what came of it: {heads => [[[NAME, VALUE], ...], ...]
# in order, interim ones and trailers too; body; error}. Options: port; fields => [NAME => VALUE, ...]
# behind those that have to be; body; trailers => [...]; timeout.
sub request($method, $path, %opt)
{
    my $client = HA::Client->new(port => $opt{port}, cookies => 0, timeout => $opt{timeout} // 10);
    my $self = bless {client => $client, dynamic => [], in => '', answer => {heads => [], body => ''}}, __PACKAGE__;
    my @pseudo = (':method' => $method, ':scheme' => 'http', ':path' => $path, ':authority' => $opt{host} // 'localhost');
    my $settings = pack 'nNnN', 2, 0, 4, WINDOW;
    my $bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . _frame(SETTINGS, 0, 0, $settings);
    $bytes .= _frame(WINDOW_UPDATE, 0, 0, pack 'N', WINDOW);
    my ($body, $trailers) = @opt{qw(body trailers)};
    $bytes .= _head(!defined $body && !$trailers, @pseudo, @{$opt{fields} // []});
    $bytes .= _frame(DATA, $trailers ? 0 : END_STREAM, 1, $body) if defined $body;
    $bytes .= _head(1, @$trailers) if $trailers;
    $client->send($bytes) or return {heads => [], body => '', error => $client->{error}};
    my $done = 0;
    while (!$done) {
        eval { $done = $self->_read_frame; 1 } or $done = $self->{answer}{error} = "bad frame: $@";
    }
    return $self->{answer};
}

# True when there is no more to come.
sub _read_frame($self)
{
    my $header = $self->_take(FRAME_BYTES) // return 1;
    my ($high, $low, $type, $flags, $stream) = unpack 'CnCCN', $header;
    my $payload = $self->_take($high << 16 | $low) // return 1;
    my $answer = $self->{answer};
    if ($type == SETTINGS && !($flags & ACK)) {
        $self->{client}->send(_frame(SETTINGS, ACK, 0, ''));
    } elsif ($type == GOAWAY || $type == RST_STREAM) {
        $answer->{error} = "reset by frame $type";
        return 1;
    } elsif ($type == DATA) {
        $answer->{body} .= _bare($payload, $flags);
        $self->{ends} = $flags & END_STREAM;
    } elsif ($type == HEADERS) {
        $self->{block} = _bare($payload, $flags);
        $self->{ends} = $flags & END_STREAM;
    } elsif ($type == CONTINUATION) {
        $self->{block} .= $payload;
    }
    if (($type == HEADERS || $type == CONTINUATION) && $flags & END_HEADERS) {
        push @{$answer->{heads}}, $self->_decode($self->{block});
    }
    return $self->{ends};
}

# So many bytes, undef with the answer's error set when they do not come.
sub _take($self, $n)
{
    while (length $self->{in} < $n) {
        my $more = $self->{client}->read_raw;
        if ($more eq '') {
            $self->{answer}{error} = $self->{client}{error} // 'closed';
            return undef;
        }
        $self->{in} .= $more;
    }
    return substr $self->{in}, 0, $n, '';
}

1;
