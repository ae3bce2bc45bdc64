# SPDX-License-Identifier: Apache-2.0
# Owns a small HTTP/1.1 client over raw sockets: keep-alive, cookies, chunks, and every byte by hand
# where a test wants that. Never dies of what a server does: a failed request is a response with
# status 0 and an error.
package HA::Client;
use v5.36;

use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Time::HiRes qw(time);

use HA::Response;

use constant {TIMEOUT_SECONDS => 10, READ_BYTES => 262144};

# Options: port => N with address => '127.0.0.1', or path => SOCKET; host => the Host field's value;
# timeout => seconds for a request; cookies => 0 for no jar; keep_alive => 0 for a connection each;
# retry => 0 to see that a kept connection was closed (else a request without a body goes again).
sub new($class, %opt)
{
    my $self = bless {
        address => '127.0.0.1',
        host => 'localhost',
        timeout => TIMEOUT_SECONDS,
        cookies => 1,
        keep_alive => 1,
        retry => 1,
        jar => {},
        in => '',
        %opt,
    }, $class;
    return $self;
}

# --- the connection -------------------------------------------------------------------------------

# Connects unless it is. False, with error set, when that fails.
sub connect($self)
{
    return 1 if $self->{socket};
    local $@;
    $self->{socket} =
        $self->{path}
        ? IO::Socket::UNIX->new(Peer => $self->{path})
        : IO::Socket::INET->new(
            PeerAddr => $self->{address},
            PeerPort => $self->{port},
            Timeout => $self->{timeout}
        );
    $self->{error} = "connect: $!" if !$self->{socket};
    $self->{socket}->blocking(0) if $self->{socket};
    @$self{qw(in used)} = ('', 0);
    return !!$self->{socket};
}

sub close($self)
{
    delete $self->{socket};
    $self->{in} = '';
    return;
}

sub socket($self)
{
    return $self->{socket};
}

# Writes bytes as they are. False, with error set, when that fails.
sub send($self, $bytes, $timeout = $self->{timeout})
{
    local $SIG{PIPE} = 'IGNORE';
    $self->connect or return 0;
    my $until = time + $timeout;
    for (my $at = 0; $at < length $bytes;) {
        my $put = syswrite($self->{socket}, $bytes, length($bytes) - $at, $at);
        if ($put) {
            $at += $put;
            next;
        }
        if (!$!{EAGAIN}) {
            $self->{error} = "write: $!";
            return 0;
        }
        if (!IO::Select->new($self->{socket})->can_write($until - time)) {
            $self->{error} = 'write: timeout';
            return 0;
        }
    }
    return 1;
}

# Reads what there is into the buffer: 1 something, 0 end, undef with error set.
sub _fill($self, $until)
{
    while (1) {
        my $got = sysread($self->{socket}, $self->{in}, READ_BYTES, length $self->{in});
        return $got > 0 ? 1 : 0 if defined $got;
        if (!$!{EAGAIN}) {
            $self->{error} = "read: $!";
            return undef;
        }
        my $left = $until - time;
        if ($left <= 0 || !IO::Select->new($self->{socket})->can_read($left)) {
            $self->{error} = 'timeout';
            return undef;
        }
    }
}

# Bytes as they come, at least one, or all up to the end or the time-out with all => 1, or up to
# where they match, with until => qr//.
sub read_raw($self, %opt)
{
    my $until = time + ($opt{timeout} // $self->{timeout});
    return '' if !$self->{socket};
    while ($opt{all} || $opt{until} || $self->{in} eq '') {
        last if $opt{until} && $self->{in} =~ $opt{until};
        last if !$self->_fill($until);
    }
    my $bytes = $self->{in};
    $self->{in} = '';
    return $bytes;
}

# True when the server has closed the connection, waiting for that up to `timeout` seconds; the
# next request takes a new one then.
sub closed($self, $timeout = $self->{timeout})
{
    return 1 if !$self->{socket};
    my $got = $self->_fill(time + $timeout);
    return 0 if defined $got ? $got : $self->{error} eq 'timeout';
    $self->close;
    return 1;
}

# --- responses ------------------------------------------------------------------------------------

# Reads one response to a request of that method.
sub read_response($self, $method = 'GET', $timeout = $self->{timeout})
{
    my $until = time + $timeout;
    my $response;
    while (1) {
        $response = HA::Response->parse(\$self->{in}, $method, 0);
        last if $response;
        my $got = $self->_fill($until);
        next if $got;
        my $error = defined $got ? undef : $self->{error};
        $response = defined $got ? HA::Response->parse(\$self->{in}, $method, 1) : undef;
        $response //= HA::Response->failed($error, $self->{in});
        last;
    }
    $self->{used}++;
    $self->close if !$response->status || !$response->keeps_open;
    $self->_remember($response) if $self->{cookies};
    return $response;
}

sub _remember($self, $response)
{
    for my $line ($response->headers('Set-Cookie')) {
        my ($pair, @attributes) = split /;\s*/, $line;
        my ($name, $value) = split /=/, $pair, 2;
        my %attribute = map {/^([^=]+)=?(.*)$/ ? (lc $1 => $2) : ()} @attributes;
        if (($attribute{'max-age'} // 1) <= 0) {
            delete $self->{jar}{$name};
            next;
        }
        $self->{jar}{$name} = {value => $value, path => $attribute{path} // '/'};
    }
    return;
}

# The value of a cookie in the jar, or undef; set_cookie puts one there by hand.
sub cookie($self, $name)
{
    return ($self->{jar}{$name} // {})->{value};
}

sub set_cookie($self, $name, $value, $path = '/')
{
    $self->{jar}{$name} = {value => $value, path => $path};
    return;
}

sub _cookie_field($self, $path)
{
    my @pairs;
    for my $name (sort keys %{$self->{jar}}) {
        my ($value, $prefix) = @{$self->{jar}{$name}}{qw(value path)};
        $prefix =~ s{/$}{};
        push @pairs, "$name=$value" if $path =~ m{^\Q$prefix\E(?:[/?]|$)};
    }
    return @pairs ? ('Cookie' => join '; ', @pairs) : ();
}

# --- requests -------------------------------------------------------------------------------------

# The bytes of a request. Options: headers => {...} or [...]; body => bytes; chunks => [bytes ...].
sub format_request($self, $method, $path, %opt)
{
    my @given = ref $opt{headers} eq 'HASH' ? %{$opt{headers}} : @{$opt{headers} // []};
    my %has;
    for (my $i = 0; $i < @given; $i += 2) {
        $has{lc $given[$i]} = 1;
    }
    my @fields = $has{host} ? () : (Host => $self->{host});
    push @fields, $self->_cookie_field($path) if $self->{cookies} && !$has{cookie};
    push @fields, Connection => 'close' if !$self->{keep_alive} && !$has{connection};
    push @fields, @given;
    push @fields, 'Transfer-Encoding' => 'chunked' if $opt{chunks};
    my $needs_length = defined $opt{body} && !$has{'content-length'};
    push @fields, 'Content-Length' => length $opt{body} if $needs_length;

    my $bytes = "$method $path HTTP/1.1\r\n";
    while (my ($name, $value) = splice @fields, 0, 2) {
        $bytes .= "$name: $value\r\n";
    }
    $bytes .= "\r\n";
    $bytes .= $opt{body} // '';
    $bytes .= sprintf "%x\r\n%s\r\n", length, $_ for grep {length} @{$opt{chunks} // []};
    $bytes .= "0\r\n\r\n" if $opt{chunks};
    return $bytes;
}

# A request and its response. Options as format_request, and timeout => seconds.
sub request($self, $method, $path, %opt)
{
    my $timeout = $opt{timeout} // $self->{timeout};
    my $bytes = $self->format_request($method, $path, %opt);
    my $has_body = defined $opt{body} || $opt{chunks};
    my $repeatable = $self->{retry} && !$has_body && $method =~ /^(?:GET|HEAD|OPTIONS)$/;
    $self->closed(0) if $self->{socket} && $self->{used};
    while (1) {
        my $reused = $self->{socket} && $self->{used};
        my $sent = $self->send($bytes, $timeout);
        # A server may answer and close before it has read all of a body.
        my $response =
            $self->{socket}
            ? $self->read_response($method, $timeout)
            : HA::Response->failed($self->{error});
        $response->{error} = $self->{error} if !$sent && !$response->status;
        if ($response->nothing && $reused && $repeatable) {
            $self->{retried}++;
            $self->close;
            next;
        }
        return $response;
    }
}

sub get($self, $path, %opt)         { return $self->request(GET => $path, %opt) }
sub head($self, $path, %opt)        { return $self->request(HEAD => $path, %opt) }
sub post($self, $path, $body, %opt) { return $self->request(POST => $path, body => $body, %opt) }
sub put($self, $path, $body, %opt)  { return $self->request(PUT => $path, body => $body, %opt) }

# How many requests went again because a kept connection was closed.
sub retried($self)
{
    return $self->{retried} // 0;
}

# The first n bytes of the content that the application's /bytes and /chunked answer.
sub content($n)
{
    state $block = join '', map {sprintf "%015d\n", $_ * 16} 0 .. 65520;
    return substr $block x (1 + $n / length $block), 0, $n;
}

1;
