# SPDX-License-Identifier: Apache-2.0
# Owns what bench/zones measures: each task, for one round. Does not compare or print.
package Bench::ZoneTask;
use v5.36;

use List::Util qw(max sum0);
use Time::HiRes qw(clock_gettime sleep time CLOCK_MONOTONIC);

use HA::Log;

use Bench::Machine;
use Bench::Report;
use Bench::ZoneFarm;

use constant {US_A_SECOND => 1_000_000, STATE_BYTES => 1024, THREADS => 2, NODES => 2};
use constant {CLIENTS => 32, STORE_CLIENTS => 64, RATE => 500, WARM_SECONDS => 0.2};
use constant {PATIENCE_SECONDS => 5, PAUSE_SECONDS => 0.1, HALF_BUDGET_US => 50_000};

# Options: load => Bench::Load; seconds, of a load; times, of a request that is measured alone; sessions.
sub new($class, $t, %opt)
{
    return bless {t => $t, %opt}, $class;
}

sub _farm($self, $names, $sessions)
{
    return Bench::ZoneFarm->start(
        $self->{t}, names => $names, sessions => $sessions, bytes => STATE_BYTES
    );
}

# The farm of what is measured without faults.
sub begin($self)
{
    $self->{farm} = $self->_farm([qw(off shm memcached look)], $self->{sessions});
    return;
}

sub end($self)
{
    $self->{farm}->stop;
    return;
}

# --- loads ----------------------------------------------------------------------------------------

sub _send($self, $farm, $name, $path, @options)
{
    my $port = $farm->proxy($name)->port;
    return $self->{load}->send_file($port, $farm->requests($name, $path), @options);
}

sub _errors($result)
{
    return sum0(values %{$result->{errors}});
}

# Requests one after the other. The median of their times in microseconds.
sub _alone($self, $farm, $name, $path, $times)
{
    my $log = $self->{t}->dir('alone.log');
    my $result = $self->_send($farm, $name, $path, '-c', 1, '-n', $times, '-l', $log);
    die "$name: " . _errors($result) . " of $times requests of $path failed\n" if _errors($result);
    return Bench::Report::median(map {(split)[1]} @{HA::Log->new($log)->lines});
}

# What libmemcached does by itself, on the core of the proxies.
sub _plain($self, $farm, @options)
{
    my $program = HA::Test::top_builddir() . '/bench/store_plain';
    my @ports = map {('-p', $_->port)} $farm->nodes;
    my ($core) = Bench::Machine::cores();
    my @command = ($program, @ports, '-b', STATE_BYTES, @options);
    my $load = Bench::Machine::on_core($core, sub { $self->{load}->begin_program(@command) });
    return $self->{load}->end($load);
}

sub _round_trip($self, $farm)
{
    return $self->_plain($farm, '-n', $self->{times})->{slower_us};
}

# --- without faults -------------------------------------------------------------------------------

# A load of some seconds: {rps, cpu_us}, of which the latter is of the proxy and for each request.
sub _many($self, $name, $path, $clients)
{
    my $farm = $self->{farm};
    $self->_send($farm, $name, $path, '-c', $clients, '-s', WARM_SECONDS);
    my $before = Bench::Machine::cpu_seconds($farm->proxy($name)->pid);
    my $result = $self->_send($farm, $name, $path, '-c', $clients, '-s', $self->{seconds});
    my $cpu = Bench::Machine::cpu_seconds($farm->proxy($name)->pid) - $before;
    die "$name: " . _errors($result) . " requests failed\n" if _errors($result);
    my $requests = $result->{requests};
    return {rps => $requests / $result->{seconds}, cpu_us => $cpu * US_A_SECOND / $requests};
}

# Microseconds of CPU of a request whose session did not change: {off, shm, memcached, look}.
sub unchanged($self, @names)
{
    return {map {$_ => $self->_many($_, '/', CLIENTS)->{cpu_us}} @names, 'look'};
}

# Microseconds of a request that stores, without others: {off, shm, memcached, plain}, of which off
# stores nothing and plain is a round trip to the slower memcached.
sub store_time($self, @names)
{
    my $path = '/put/' . STATE_BYTES;
    my %round = map {$_ => $self->_alone($self->{farm}, $_, $path, $self->{times})} @names;
    $round{plain} = $self->_round_trip($self->{farm});
    return \%round;
}

# Requests a second that store, and what libmemcached alone stores with as many threads: {off, shm,
# memcached, set, cas}; the same names with _cpu are microseconds of CPU for each.
sub store_rate($self, @names)
{
    my %round;
    for my $name (@names) {
        my $result = $self->_many($name, '/put/' . STATE_BYTES, STORE_CLIENTS);
        @round{$name, "${name}_cpu"} = @$result{qw(rps cpu_us)};
    }
    my @all = ('-t', NODES * THREADS, '-k', $self->{sessions}, '-s', $self->{seconds});
    for my $kind (['set'], ['cas', '-g']) {
        my ($name, @more) = @$kind;
        my $result = $self->_plain($self->{farm}, @all, @more);
        $round{$name} = $result->{stores} / $result->{seconds};
        $round{"${name}_cpu"} = $result->{cpu_seconds} * US_A_SECOND / $result->{stores};
    }
    return \%round;
}

# --- with faults ----------------------------------------------------------------------------------

# Runs something on a farm of its own.
sub _with_farm($self, $names, $sessions, $code)
{
    my $farm = $self->_farm($names, $sessions);
    my $result = eval { $code->($farm) };
    my $why = $@;
    $farm->stop;
    die $why if !$result;
    return $result;
}

# Microseconds of the first request of a session whose instance was killed: {off, shm, memcached, plain}.
sub failover($self, @names)
{
    return $self->_with_farm(\@names, $self->{sessions}, sub ($farm) {
        my %round = (plain => $self->_round_trip($farm));
        $farm->kill_instances;
        # The very first ones find out that the instances are gone; that is no zone's matter.
        Bench::ZoneFarm::ask($farm->proxy($_), 'zsessionid=nobody.m001', '/') for (@names) x 2;
        Bench::ZoneFarm::ask($farm->proxy($_), 'zsessionid=nobody.m002', '/') for (@names) x 2;
        $round{$_} = $self->_alone($farm, $_, '/told', $self->{sessions}) for @names;
        return \%round;
    });
}

sub _now_us
{
    return int(clock_gettime(CLOCK_MONOTONIC) * US_A_SECOND);
}

# Sends requests of those paths at an even pace for the time that a fault takes, and does what is to
# be done after a third of it and after two thirds. {times => [sub's times], logs => {path =>
# [{from, took}] in microseconds}, failed}.
sub _under_load($self, $farm, $paths, @faults)
{
    my ($t, $load) = @$self{qw(t load)};
    my $third = $self->{seconds};
    my $port = $farm->proxy('memcached')->port;
    my $count = RATE * 3 * $third;
    my %begun = map {
        my @options = ('-c', CLIENTS, '-r', RATE, '-n', $count, '-l', $t->dir('watched' . tr{/}{-}r));
        $_ => $load->begin_file($port, $farm->requests('memcached', $_), @options)
    } @$paths;
    my %seen = (times => [], failed => 0, asked => $count * @$paths);
    for my $fault (@faults) {
        sleep $third;
        push @{$seen{times}}, _now_us();
        $fault->();
    }
    for my $path (@$paths) {
        my $result = $load->end($begun{$path});
        $seen{failed} += $count - $result->{requests};
        my @lines = map {[split]} @{HA::Log->new($t->dir('watched' . $path =~ tr{/}{-}r))->lines};
        $seen{logs}{$path} =
            [sort {$a->{from} <=> $b->{from}} map {{from => $_->[0] - $_->[1], took => $_->[1]}} @lines];
    }
    return \%seen;
}

sub _median_between($log, $from, $until)
{
    return Bench::Report::median(map {$_->{took}} grep {$_->{from} >= $from && $_->{from} < $until} @$log);
}

# What a session comes back with on another instance: what the proxy says first, and once it could ask
# the store.
sub _come_back($farm, $cookie)
{
    my (@first, @last);
    my $until = time + PATIENCE_SECONDS;
    while (1) {
        @last = Bench::ZoneFarm::ask($farm->proxy('memcached'), $cookie, '/told');
        @first = @last if !@first;
        last if ($last[1] // '') ne 'error' || time > $until;
        sleep PAUSE_SECONDS;
    }
    my (undef, $word, $version, $inside) = @last;
    my $is_there = ($word // '') eq 'restore' && ($version // 0) == ($inside // -1);
    my $said = join ' ', @last ? @last[1 .. $#last] : 'no answer';
    return {first => $first[1] // 'no answer', said => $said, version => $is_there ? $version : undef};
}

# One of two memcached is killed under load, then the instances: {asked, failed, sessions, lost, stale,
# late}. Late are those for which the store was asked in vain at first.
sub node_killed($self, @)
{
    my $sessions = $self->{many_sessions};
    return $self->_with_farm(['memcached'], $sessions, sub ($farm) {
        my $path = '/put/' . STATE_BYTES;
        my ($node) = $farm->nodes;
        my $seen = $self->_under_load($farm, [$path], sub { $node->kill });
        # Each session has had one of the last so many.
        my $log = $seen->{logs}{$path};
        my $oldest = @$log >= $sessions ? $log->[-$sessions]{from} : $log->[0]{from};
        my $unprotected = $farm->proxy('memcached')->counters->{unprotected};
        $farm->kill_instances;
        my @back = map { _come_back($farm, $_) } $farm->cookies('memcached');
        return {
            asked => $seen->{asked},
            failed => $seen->{failed},
            sessions => $sessions,
            lost => scalar(grep {!defined $_->{version}} @back),
            stale => scalar(grep {defined $_->{version} && $_->{version} < $oldest} @back),
            unprotected => $unprotected,
            late => scalar(grep {$_->{first} eq 'error'} @back),
            instead => [map {$_->{said}} grep {!defined $_->{version}} @back],
        };
    });
}

# One of two memcached hangs for a while: {failed, before, longest, median}, in microseconds.
sub node_stalled($self, @)
{
    return $self->_with_farm(['memcached'], $self->{sessions}, sub ($farm) {
        my $path = '/put/' . STATE_BYTES;
        my ($node) = $farm->nodes;
        my $seen = $self->_under_load($farm, [$path], sub { $node->pause }, sub { $node->resume });
        my ($stopped, $continued) = @{$seen->{times}};
        my $log = $seen->{logs}{$path};
        my @meanwhile = grep {$_->{from} + $_->{took} >= $stopped && $_->{from} < $continued} @$log;
        my ($worst) = sort {$b->{took} <=> $a->{took}} @meanwhile;
        my $known = $worst->{from} + $worst->{took};
        return {
            late => scalar(grep {$_->{from} > $known && $_->{took} > HALF_BUDGET_US} @meanwhile),
            failed => $seen->{failed},
            before => _median_between($log, 0, $stopped),
            longest => $worst->{took},
            median => _median_between($log, $known, $continued),
        };
    });
}

# Both memcached are killed: {failed, unprotected, before, after} of requests that store, and `get_` of
# those that do not.
sub all_down($self, @)
{
    return $self->_with_farm(['memcached'], $self->{sessions}, sub ($farm) {
        my $path = '/put/' . STATE_BYTES;
        my $seen = $self->_under_load($farm, [$path, '/'], sub { $_->kill for $farm->nodes });
        my ($killed) = @{$seen->{times}};
        my $end = _now_us();
        my ($puts, $gets) = @{$seen->{logs}}{$path, '/'};
        my $later = grep {$_->{from} > $killed} @$puts;
        return {
            failed => $seen->{failed},
            put_after => $later,
            unprotected => $farm->proxy('memcached')->counters->{unprotected},
            before => _median_between($puts, 0, $killed),
            after => _median_between($puts, $killed, $end),
            get_before => _median_between($gets, 0, $killed),
            get_after => _median_between($gets, $killed, $end),
            longest => max(map {$_->{took}} grep {$_->{from} > $killed} @$puts, @$gets),
        };
    });
}

1;
