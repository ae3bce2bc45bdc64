# SPDX-License-Identifier: Apache-2.0
# Owns an instance that does to each request what a test says, byte for byte, and knows what came on
# which connection. Speaks no HTTP of its own but for finding where a request ends; for an
# application that behaves see HA::App.
package HA::Raw;
use v5.36;

use IO::Socket::INET;
use List::Util qw(max min);
use Socket qw(IPPROTO_TCP MSG_NOSIGNAL SOL_SOCKET SO_LINGER TCP_NODELAY);
use Time::HiRes qw(time);

use constant {READ_BYTES => 65536, POLL_SECONDS => 0.005, LOOK_SECONDS => 1};

# Starts it on a port of its own. `answer` gets a request {connection, method, target, tag, length,
# body} and returns what is done then, one step after the other:
#
#   TEXT              writes it
#   [flood => TEXT]   writes it for ever
#   [note => NAME]    notes that, which `wait_note` waits for
#   [until => NAME]   waits until `allow` was called with that name
#   [taken => N]      waits until so many bytes came behind the request
#   [idle => SECONDS] waits that long, or until there is a next request: that is answered then, and
#                     the steps behind are left out
#   ['end']           ends its direction; what still comes is noted as late
#   ['close']         closes
#   ['reset']         closes with a TCP reset
#
# A connection without steps left waits for a request. early => qr/TARGET/ is for requests whose
# bodies are not read before the answer. record => 1 keeps every byte that comes, see received.
sub new($class, $t, $name, %opt)
{
    my $self = bless {t => $t, name => $name, early => qr/^$/, %opt}, $class;
    $self->{port} = $t->port;
    my @local = (LocalAddr => '127.0.0.1', LocalPort => $self->{port});
    $self->{listener} = IO::Socket::INET->new(@local, Listen => 1000, ReuseAddr => 1)
        // die "$name: $!\n";
    $self->{listener}->blocking(0);
    $self->{pid} = $t->spawn($name, code => sub { $self->_serve });
    delete $self->{listener};
    return $self;
}

sub name($self) { return $self->{name} }
sub port($self) { return $self->{port} }
sub url($self)  { return "http://127.0.0.1:$self->{port}" }

sub _allowed($self, $name)
{
    return $self->{t}->dir("$self->{name}.$name");
}

# Lets connections go on that wait for this name.
sub allow($self, $name)
{
    $self->{t}->write_file($self->_allowed($name), '');
    return;
}

# What has happened since the start or `forget`: {what, connection, method, target, tag}, where
# `what` is request, late (a request behind the end of our direction), or closed (while idle).
sub ledger($self)
{
    my @names = qw(what connection method target tag);
    my @entries;
    my $lines = HA::Log->new($self->{t}->dir("$self->{name}.ledger"))->lines;
    for my $line (@$lines[$self->{forgotten} // 0 .. $#$lines]) {
        my %entry;
        @entry{@names} = split / /, $line;
        push @entries, \%entry;
    }
    return @entries;
}

# Every byte that has come since the start or `forget`, of all connections.
sub received($self)
{
    return substr HA::Log->new($self->{t}->dir("$self->{name}.bytes"))->text, $self->{forgotten_bytes} // 0;
}

sub wait_note($self, $name)
{
    $self->{t}->wait_for(sub { grep {$_->{what} eq "note-$name"} $self->ledger });
    return;
}

sub forget($self)
{
    $self->{forgotten} = @{HA::Log->new($self->{t}->dir("$self->{name}.ledger"))->lines};
    $self->{forgotten_bytes} += length $self->received if $self->{record};
    return;
}

# --- its process ----------------------------------------------------------------------------------

sub _note($self, $what, $connection, $request = {})
{
    my @fields = map {$request->{$_} // '-'} qw(method target tag);
    syswrite $self->{book}, join(' ', $what, $connection->{number}, @fields) . "\n";
    return;
}

sub _serve($self)
{
    open($self->{book}, '>>', $self->{t}->dir("$self->{name}.ledger")) or die "ledger: $!\n";
    if ($self->{record}) {
        open($self->{tape}, '>>:raw', $self->{t}->dir("$self->{name}.bytes")) or die "bytes: $!\n";
    }
    $self->{connections} = {};
    while (1) {
        my ($read, $write) = $self->_interests;
        select($read, $write, undef, $self->_patience);
        $self->_accept if vec($read, fileno $self->{listener}, 1);
        for my $connection (values %{$self->{connections}}) {
            $self->_receive($connection) if vec($read, $connection->{fd}, 1);
            $self->_go_on($connection) if $connection->{socket};
        }
    }
    return;
}

sub _interests($self)
{
    my ($read, $write) = ('', '');
    vec($read, fileno $self->{listener}, 1) = 1;
    for my $connection (values %{$self->{connections}}) {
        vec($read, $connection->{fd}, 1) = 1 if !$connection->{deaf};
        vec($write, $connection->{fd}, 1) = 1 if $connection->{blocked};
    }
    return ($read, $write);
}

# Until the next connection has been idle for long enough, or may have been allowed to go on.
sub _patience($self)
{
    my @connections = values %{$self->{connections}};
    my @due = map {$_->{due} // ()} @connections;
    my $most = grep({$_->{waits}} @connections) ? POLL_SECONDS : LOOK_SECONDS;
    return max(0, min($most, map {$_ - time} @due));
}

sub _accept($self)
{
    while (my $socket = $self->{listener}->accept) {
        $socket->blocking(0);
        setsockopt($socket, IPPROTO_TCP, TCP_NODELAY, 1);
        my %made = (fd => fileno $socket, socket => $socket, in => '', number => ++$self->{number});
        $self->{connections}{$made{fd}} = {%made, steps => []};
        $self->_go_on($self->{connections}{$made{fd}});
    }
    return;
}

sub _drop($self, $connection)
{
    delete $self->{connections}{$connection->{fd}};
    CORE::close(delete $connection->{socket});
    return;
}

sub _receive($self, $connection)
{
    my $got = sysread $connection->{socket}, $connection->{in}, READ_BYTES, length $connection->{in};
    return if !defined $got && $!{EAGAIN};
    syswrite $self->{tape}, substr $connection->{in}, -$got if $got && $self->{tape};
    if (!defined $got || ($got == 0 && ($connection->{ended} || !@{$connection->{steps}}))) {
        $self->_drop($connection);
    } elsif ($got == 0) {
        $connection->{deaf} = 1;
    }
    return;
}

# The next request, when its head, and unless it is an early one its body, is there.
sub _request($self, $connection)
{
    $connection->{in} =~ m{^(([A-Z]+) (\S+) HTTP/1\.[01]\r\n(.*?\r\n)?\r\n)}s or return undef;
    my ($head, %request) = ($1, method => $2, target => $3, connection => $connection->{number});
    ($request{length}) = $head =~ /^Content-Length: (\d+)\r$/mi;
    ($request{tag}) = $head =~ /^X-Request-Tag: (\S+)\r$/mi;
    my $chunked = $head =~ /^Transfer-Encoding: chunked\r$/mi;
    my $body_n = $request{target} =~ $self->{early} ? 0
        : $chunked ? _chunks_length(substr $connection->{in}, length $head) // return undef
        : $request{length} // 0;
    return undef if length $connection->{in} < length($head) + $body_n;
    $request{body} = substr $connection->{in}, length $head, $body_n;
    substr($connection->{in}, 0, length($head) + $body_n) = '';
    return \%request;
}

# How long chunks are that begin these bytes, with their trailers; undef when they do not end.
sub _chunks_length($bytes)
{
    while ($bytes =~ /\G([0-9a-f]+)[^\r]*\r\n/gci) {
        my $size = hex $1;
        return $bytes =~ /\G(?:[^\r]+\r\n)*\r\n/g ? pos $bytes : undef if $size == 0;
        return undef if length($bytes) < pos($bytes) + $size + 2;
        pos($bytes) += $size + 2;
    }
    return undef;
}

sub _go_on($self, $connection)
{
    while ($connection->{socket}) {
        my $step = $connection->{steps}[0];
        if (!defined $step || (ref $step && $step->[0] eq 'idle')) {
            my $request = $self->_request($connection);
            if ($request) {
                delete $connection->{due};
                $self->_take($connection, $request);
                next;
            }
        }
        last if !defined $step || !$self->_do($connection, $step);
        shift @{$connection->{steps}};
    }
    my $over = $connection->{deaf} && $connection->{socket} && !@{$connection->{steps}};
    $self->_drop($connection) if $over;
    return;
}

sub _take($self, $connection, $request)
{
    $self->_note($connection->{ended} ? 'late' : 'request', $connection, $request);
    $connection->{steps} = $connection->{ended} ? [] : [$self->{answer}->($request)];
    return;
}

# Does a step. True when it is done.
sub _do($self, $connection, $step)
{
    return $self->_write($connection, \$connection->{steps}[0]) if !ref $step;
    my ($what, $argument) = @$step;
    my $method = "_do_$what";
    return $self->$method($connection, $argument);
}

sub _write($self, $connection, $text)
{
    $connection->{blocked} = 0;
    while (length $$text) {
        my $put = send $connection->{socket}, $$text, MSG_NOSIGNAL;
        if (!defined $put) {
            $connection->{blocked} = $!{EAGAIN};
            $self->_drop($connection) if !$!{EAGAIN};
            return 0;
        }
        substr($$text, 0, $put) = '';
    }
    return 1;
}

sub _do_flood($self, $connection, $text)
{
    $connection->{flood} //= '';
    $connection->{flood} = $text x (1 + READ_BYTES / length $text) if $connection->{flood} eq '';
    $self->_write($connection, \$connection->{flood});
    $connection->{blocked} = 1;
    return 0;
}

sub _do_note($self, $connection, $name)
{
    $self->_note("note-$name", $connection);
    return 1;
}

sub _do_until($self, $connection, $name)
{
    $connection->{waits} = !-e $self->_allowed($name);
    return !$connection->{waits};
}

sub _do_taken($self, $connection, $count)
{
    return length $connection->{in} >= $count;
}

sub _do_idle($self, $connection, $seconds)
{
    $connection->{due} //= time + $seconds;
    return 0 if time < $connection->{due};
    # What has come by now is not left unread.
    $self->_receive($connection);
    return 0 if !$connection->{socket} || ($connection->{in} ne '' && !$connection->{deaf});
    delete $connection->{due};
    $self->_note('closed', $connection);
    return 1;
}

sub _do_end($self, $connection, @)
{
    shutdown $connection->{socket}, 1;
    $connection->{ended} = 1;
    return 1;
}

sub _do_close($self, $connection, @)
{
    $self->_drop($connection);
    return 1;
}

sub _do_reset($self, $connection, @)
{
    setsockopt($connection->{socket}, SOL_SOCKET, SO_LINGER, pack 'II', 1, 0);
    return $self->_do_close($connection);
}

1;
