# SPDX-License-Identifier: Apache-2.0
# Owns the clients of a crowd, inside its process. Does not know what the steps are for.
package HA::Crowd::Worker;
use v5.36;

use Errno qw(EAGAIN EINPROGRESS);
use IO::Poll qw(POLLIN POLLOUT POLLHUP POLLERR);
use List::Util qw(max min);
use Socket;
use Time::HiRes qw(time);

use HA::Response;

use constant {READ_BYTES => 262144, KEEP_FAILURES => 20, REPORT_SECONDS => 0.02, LONGEST_WAIT => 0.05};

sub new($class, $opt, $report)
{
    $report->blocking(0);
    my %result = map {$_ => 0} qw(steps answers failed renewed connections max_ms);
    return bless {
        opt => $opt,
        report => $report,
        reported_at => 0,
        result => {%result, failures => []},
        clients => [map {{number => $_, n => 0, due => 0}} 0 .. $opt->{clients} - 1],
    }, $class;
}

sub run($self)
{
    local $SIG{PIPE} = 'IGNORE';
    local $SIG{USR1} = sub ($name) { $self->{finishing} = 1 };
    while (my @live = grep {!$_->{over}} @{$self->{clients}}) {
        $self->_begin($_) for grep {!$_->{step} && $_->{due} <= time} @live;
        $self->_wait(grep {!$_->{over}} @live);
        $self->_time_out($_) for grep {$_->{step}} @live;
        $self->_tell;
    }
    $self->_tell(1);
    return $self->{result};
}

sub _tell($self, $now = 0)
{
    return if !$now && time - $self->{reported_at} < REPORT_SECONDS;
    $self->{reported_at} = time;
    syswrite($self->{report}, pack 'Q', $self->{result}{answers});
    return;
}

# --- a step ---------------------------------------------------------------------------------------

sub _begin($self, $client)
{
    my $opt = $self->{opt};
    my $step = $self->{finishing} ? undef : $opt->{step}->($client->{number}, $client->{n}++);
    if (!$step) {
        $client->{over} = 1;
        return $self->_drop($client);
    }
    $self->{result}{steps}++;
    $client->{step} = $step;
    $client->{begun} = time;
    return $self->_send($client);
}

sub _send($self, $client)
{
    my $step = $client->{step};
    my $pieces = $step->{pieces} // 1;
    my $size = int((length($step->{bytes}) + $pieces - 1) / $pieces);
    $client->{pieces} = [unpack "(a$size)*", $step->{bytes}];
    $client->{next_piece} = 0;
    $client->{left} = [@{$step->{answers}}];
    @$client{qw(in out)} = ('', '');
    $client->{touched} = 0;
    $client->{used} = !!$client->{socket};
    $self->_connect($client) if !$client->{socket};
    return;
}

sub _connect($self, $client)
{
    my $port = $self->{opt}{port};
    $port = $port->($client->{number}) if ref $port;
    socket(my $socket, AF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
    $socket->blocking(0);
    connect($socket, pack_sockaddr_in($port, INADDR_LOOPBACK)) or $!{EINPROGRESS} or die "connect: $!\n";
    $client->{socket} = $socket;
    $self->{result}{connections}++;
    return;
}

sub _drop($self, $client)
{
    delete $client->{socket};
    return;
}

sub _over($self, $client)
{
    my $step = delete $client->{step};
    $self->{result}{max_ms} = max($self->{result}{max_ms}, 1000 * (time - $client->{begun}));
    $client->{due} = time + ($step->{pause} // 0);
    $self->_drop($client) if $step->{leave};
    return;
}

sub _failed($self, $client, $why)
{
    my $result = $self->{result};
    my $left = @{$client->{left}};
    $result->{failed}++;
    if (@{$result->{failures}} < KEEP_FAILURES) {
        my $first = $client->{step}{bytes} =~ /^(.*)/ ? $1 : '';
        push @{$result->{failures}},
            "client $client->{number}, step $client->{n} ($first), $left answers left: $why";
    }
    $self->_drop($client);
    return $self->_over($client);
}

# A kept connection that had ended before the step reached anybody is not a failure, if the crowd
# renews such.
sub _broken($self, $client, $why)
{
    if ($self->{opt}{renew} && $client->{used} && !$client->{touched} && $client->{in} eq '') {
        $self->{result}{renewed}++;
        $self->_drop($client);
        return $self->_send($client);
    }
    return $self->_failed($client, $why);
}

sub _time_out($self, $client)
{
    return if time - $client->{begun} < $self->{opt}{timeout};
    return $self->_failed($client, 'timeout, got ' . substr $client->{in}, 0, 100);
}

# --- sockets --------------------------------------------------------------------------------------

sub _has_piece($client)
{
    return @{$client->{pieces}} && $client->{next_piece} <= time;
}

sub _wait($self, @live)
{
    my $poll = IO::Poll->new;
    my $until = time + LONGEST_WAIT;
    for my $client (@live) {
        if (!$client->{step}) {
            $until = min($until, $client->{due});
            next;
        }
        my $writes = length $client->{out} || _has_piece($client);
        $until = min($until, $client->{next_piece}) if !$writes && @{$client->{pieces}};
        $poll->mask($client->{socket} => POLLIN | ($writes ? POLLOUT : 0));
    }
    $poll->poll(max(0, $until - time));
    for my $client (grep {$_->{step}} @live) {
        my $events = $poll->events($client->{socket}) or next;
        $self->_write($client) if $events & POLLOUT;
        $self->_read($client) if $client->{step} && $client->{socket} && $events & (POLLIN | POLLHUP | POLLERR);
    }
    return;
}

sub _write($self, $client)
{
    if ($client->{out} eq '') {
        $client->{out} = shift @{$client->{pieces}};
        $client->{next_piece} = time + ($client->{step}{gap} // 0);
    }
    my $put = syswrite $client->{socket}, $client->{out};
    if (!defined $put) {
        # What was answered before can still be read.
        return if $!{EAGAIN} || $!{EPIPE} || $!{ECONNRESET};
        return $self->_broken($client, "write: $!");
    }
    substr($client->{out}, 0, $put) = '';
    return;
}

sub _read($self, $client)
{
    my $got = sysread $client->{socket}, $client->{in}, READ_BYTES, length $client->{in};
    return if !defined $got && $!{EAGAIN};
    return $self->_broken($client, "read: $!") if !defined $got;
    while (@{$client->{left}}) {
        my ($method, $check) = @{$client->{left}[0]};
        my $answer = HA::Response->parse(\$client->{in}, $method, !$got) // return;
        return $self->_broken($client, $answer->error) if !$answer->status;
        my $why = $check->($answer);
        return $self->_failed($client, $why) if defined $why;
        shift @{$client->{left}};
        $client->{touched} = 1;
        $self->{result}{answers}++;
        if (!$answer->keeps_open) {
            return $self->_failed($client, 'closed by an answer') if @{$client->{left}};
            $self->_drop($client);
        }
    }
    return $self->_failed($client, "unasked: $client->{in}") if $client->{in} ne '';
    return $self->_over($client);
}

1;
