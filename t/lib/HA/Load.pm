# SPDX-License-Identifier: Apache-2.0
# Owns a load of requests that is paced by the clock and not by the answers, from processes of its
# own. Does not judge the result.
package HA::Load;
use v5.36;

use Errno qw(EAGAIN EINPROGRESS);
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use IO::Handle;
use List::Util qw(max sum0);
use Socket;
use Storable qw(retrieve store);
use Time::HiRes qw(time);

use HA::Client;
use HA::Response;

use constant {REPORT_SECONDS => 0.02, READ_BYTES => 65536, KEEP_FAILURES => 20};

# Starts. Options: port; rate => requests a second; count => how many; path => '/App/'; method;
# headers, body as in HA::Client; workers => 1; timeout => 10 seconds; keep_alive => 1; retry => 1
# lets a GET go again when a kept connection was closed before any byte, as browsers do;
# max_in_flight => 400 for a worker; tag => PREFIX sends X-Request-Tag: PREFIX-N; check =>
# sub($response) that returns a reason to call an answer failed; ok => qr/^2/ for the status of a
# good answer.
sub new($class, $t, %opt)
{
    my %full = (
        path => '/App/', method => 'GET', workers => 1, timeout => 10, keep_alive => 1, retry => 1,
        max_in_flight => 400, rate => 100, count => 100, ok => qr/^2/, %opt
    );
    my $self = bless {t => $t, opt => \%full, number => ++$t->{loads}, workers => []}, $class;
    my $begin = time + 0.05;
    $self->_start_worker($_, $begin) for 0 .. $full{workers} - 1;
    return $self;
}

sub _start_worker($self, $index, $begin)
{
    my $t = $self->{t};
    my $name = "load$self->{number}-$index";
    pipe(my $progress, my $report) or die "pipe: $!\n";
    my $pid = $t->spawn(
        $name,
        code => sub {
            my $result = HA::Load::Worker->new($self->{opt}, $index, $begin, $report)->run;
            store($result, $t->dir("$name.result"));
        }
    );
    close $report;
    $progress->blocking(0);
    push @{$self->{workers}}, {pid => $pid, name => $name, progress => $progress, finished => 0};
    return;
}

# How many requests have ended so far, well or not.
sub progress($self)
{
    for my $worker (@{$self->{workers}}) {
        while (sysread($worker->{progress}, my $counts, 8192)) {
            $worker->{finished} = unpack 'Q', substr $counts, -8;
        }
    }
    return sum0 map {$_->{finished}} @{$self->{workers}};
}

# Waits until that many requests have ended.
sub wait_progress($self, $count)
{
    $self->{t}->wait_for(sub { $self->progress >= $count }, 60, "$count requests of a load");
    return;
}

# Sends nothing more; what is in flight is still answered.
sub finish($self)
{
    $self->{t}->signal($_->{pid}, 'USR1') for @{$self->{workers}};
    return;
}

# Waits for the end. The result: {sent, ok, failed, retried, status => {code => n}, instances =>
# {name => n}, reasons => {why => n}, failures => [first ones as text], seconds, late_ms (the worst
# delay of a request behind its time), p50_ms, p99_ms, max_ms}; the latter from the time a request
# was due.
sub wait($self)
{
    my $t = $self->{t};
    my $opt = $self->{opt};
    my $timeout = $opt->{count} / $opt->{rate} + $opt->{timeout} + 30;
    my @results = map {
        $t->wait_end($_->{pid}, $timeout) == 0 or die "$_->{name} failed\n";
        retrieve($t->dir("$_->{name}.result"))
    } @{$self->{workers}};

    my %sum = (failures => [map {@{$_->{failures}}} @results]);
    for my $key (qw(sent ok failed retried)) {
        $sum{$key} = sum0 map {$_->{$key}} @results;
    }
    for my $key (qw(status instances reasons)) {
        my %by;
        for my $result (@results) {
            $by{$_} += $result->{$key}{$_} for keys %{$result->{$key}};
        }
        $sum{$key} = \%by;
    }
    for my $key (qw(late_ms seconds)) {
        $sum{$key} = max map {$_->{$key}} @results;
    }
    my @took = sort {$a <=> $b} map {@{$_->{took}}} @results;
    $sum{p50_ms} = $took[@took / 2] // 0;
    $sum{p99_ms} = $took[@took * 0.99] // 0;
    $sum{max_ms} = $took[-1] // 0;
    return \%sum;
}

package HA::Load::Worker;

use Time::HiRes qw(time);

sub new($class, $opt, $index, $begin, $report)
{
    $report->blocking(0);
    my $client = HA::Client->new(cookies => 0, keep_alive => $opt->{keep_alive});
    return bless {
        opt => $opt,
        client => $client,
        begin => $begin,
        report => $report,
        reported_at => 0,
        # This worker's requests are every n-th of all.
        index => $index,
        mine => int(($opt->{count} - $index + $opt->{workers} - 1) / $opt->{workers}),
        peer => Socket::pack_sockaddr_in($opt->{port}, Socket::inet_aton('127.0.0.1')),
        idle => [],
        by_fd => {},
        busy => 0,
        finished => 0,
        result => {
            sent => 0, ok => 0, failed => 0, retried => 0, status => {}, instances => {},
            reasons => {}, failures => [], took => [], late_ms => 0
        },
    }, $class;
}

sub run($self)
{
    local $SIG{PIPE} = 'IGNORE';
    local $SIG{USR1} = sub ($name) { $self->{mine} = $self->{result}{sent} };
    my $due = $self->_due(0);
    while ($self->{result}{sent} < $self->{mine} || $self->{busy}) {
        my $now = time;
        while ($self->{result}{sent} < $self->{mine} && $due <= $now) {
            $self->_begin($now, $due);
            $due = $self->_due($self->{result}{sent});
        }
        my $wait = $self->{result}{sent} < $self->{mine} ? $due - time : 0.05;
        $self->_turn(List::Util::max(0, List::Util::min($wait, 0.05)));
        $self->_report;
    }
    $self->_report(1);
    $self->{result}{seconds} = time - $self->{begin};
    return $self->{result};
}

sub _due($self, $n)
{
    my $opt = $self->{opt};
    return $self->{begin} + ($n * $opt->{workers} + $self->{index}) / $opt->{rate};
}

sub _report($self, $now = 0)
{
    return if !$now && time - $self->{reported_at} < HA::Load::REPORT_SECONDS;
    $self->{reported_at} = time;
    syswrite($self->{report}, pack 'Q', $self->{finished});
    return;
}

# --- a request ------------------------------------------------------------------------------------

sub _begin($self, $now, $due)
{
    my ($opt, $result) = @$self{qw(opt result)};
    my $n = $result->{sent}++ * $opt->{workers} + $self->{index};
    my @tag = defined $opt->{tag} ? ('X-Request-Tag' => "$opt->{tag}-$n") : ();
    my @headers = ref $opt->{headers} eq 'HASH' ? %{$opt->{headers}} : @{$opt->{headers} // []};
    my $request = {
        n => $n,
        due => $due,
        bytes => $self->{client}->format_request(
            $opt->{method}, $opt->{path}, headers => [@headers, @tag], body => $opt->{body}
        ),
    };
    $result->{late_ms} = List::Util::max($result->{late_ms}, 1000 * ($now - $due));
    if ($self->{busy} >= $opt->{max_in_flight}) {
        return $self->_failed($request, 'too many in flight');
    }
    return $self->_send($request, pop @{$self->{idle}});
}

sub _send($self, $request, $connection)
{
    $connection //= $self->_connect;
    return $self->_failed($request, "connect: $!") if !$connection;
    $connection->{request} = $request;
    @$connection{qw(out in)} = ($request->{bytes}, '');
    $self->{busy}++;
    $self->_write($connection) if $connection->{used};
    return;
}

sub _connect($self)
{
    socket(my $socket, Socket::PF_INET, Socket::SOCK_STREAM, 0) or return undef;
    $socket->blocking(0);
    setsockopt($socket, Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1);
    if (!connect($socket, $self->{peer}) && !$!{EINPROGRESS}) {
        return undef;
    }
    my $connection = {socket => $socket, fd => fileno $socket, used => 0};
    $self->{by_fd}{$connection->{fd}} = $connection;
    return $connection;
}

sub _drop($self, $connection)
{
    delete $self->{by_fd}{$connection->{fd}};
    @{$self->{idle}} = grep {$_ != $connection} @{$self->{idle}};
    close $connection->{socket};
    return;
}

sub _failed($self, $request, $why)
{
    my $result = $self->{result};
    $self->{finished}++;
    $result->{failed}++;
    $result->{reasons}{$why}++;
    if (@{$result->{failures}} < HA::Load::KEEP_FAILURES) {
        my $at = time - $self->{begin};
        push @{$result->{failures}}, sprintf 'request %d at %.3f s: %s', $request->{n}, $at, $why;
    }
    return;
}

# Its connection broke: nothing received on a kept one goes again, anything else has failed.
sub _broken($self, $connection, $why)
{
    my $request = delete $connection->{request};
    my $opt = $self->{opt};
    $self->_drop($connection);
    $self->{busy}--;
    my $untouched = $connection->{used} && $connection->{in} eq '';
    if ($untouched && $opt->{retry} && $opt->{method} =~ /^(?:GET|HEAD)$/) {
        $self->{result}{retried}++;
        return $self->_send($request, undef);
    }
    return $self->_failed($request, $why);
}

sub _write($self, $connection)
{
    my $put = syswrite $connection->{socket}, $connection->{out};
    if (!defined $put) {
        return if $!{EAGAIN};
        return $self->_broken($connection, $connection->{used} ? "write: $!" : "connect: $!");
    }
    substr($connection->{out}, 0, $put) = '';
    return;
}

sub _read($self, $connection)
{
    $connection->{in} //= '';
    my $got = sysread $connection->{socket}, $connection->{in}, HA::Load::READ_BYTES,
        length $connection->{in};
    return if !defined $got && $!{EAGAIN};
    my $why = defined $got ? undef : "read: $!";
    if (!$connection->{request}) {
        return $self->_drop($connection);
    }
    if ($why) {
        return $self->_broken($connection, $why);
    }
    if (!$got && $connection->{in} eq '') {
        return $self->_broken($connection, 'closed before the response');
    }
    my $response = HA::Response->parse(\$connection->{in}, $self->{opt}{method}, !$got) // return;
    return $self->_broken($connection, $response->error) if !$response->status;
    return $self->_answered($connection, $response);
}

sub _answered($self, $connection, $response)
{
    my ($opt, $result) = @$self{qw(opt result)};
    my $request = delete $connection->{request};
    $self->{busy}--;
    $connection->{used} = 1;
    if ($response->keeps_open && $connection->{in} eq '') {
        push @{$self->{idle}}, $connection;
    } else {
        $self->_drop($connection);
    }
    $result->{status}{$response->status}++;
    $result->{instances}{$response->instance // '-'}++;
    my $why = $response->status =~ $opt->{ok} ? undef : 'status ' . $response->status;
    $why //= $opt->{check}->($response) if $opt->{check};
    return $self->_failed($request, $why) if $why;
    $self->{finished}++;
    $result->{ok}++;
    push @{$result->{took}}, 1000 * (time - $request->{due});
    return;
}

# --- a turn of the loop ---------------------------------------------------------------------------

sub _turn($self, $wait)
{
    my ($read, $write) = ('', '');
    for my $connection (values %{$self->{by_fd}}) {
        vec($read, $connection->{fd}, 1) = 1;
        my $waits = $connection->{request} && length $connection->{out};
        vec($write, $connection->{fd}, 1) = 1 if $waits;
    }
    if (select($read, $write, undef, $wait) > 0) {
        for my $connection (values %{$self->{by_fd}}) {
            my $fd = $connection->{fd};
            $self->_write($connection) if vec($write, $fd, 1);
            my $same = $self->{by_fd}{$fd};
            $self->_read($connection) if $same && $same == $connection && vec($read, $fd, 1);
        }
    }
    $self->_time_out;
    return;
}

sub _time_out($self)
{
    my $now = time;
    return if $now < ($self->{next_look} // 0);
    $self->{next_look} = $now + 0.1;
    for my $connection (values %{$self->{by_fd}}) {
        my $request = $connection->{request} // next;
        next if $now - $request->{due} < $self->{opt}{timeout};
        delete $connection->{request};
        $self->_drop($connection);
        $self->{busy}--;
        $self->_failed($request, 'timeout');
    }
    return;
}

1;
