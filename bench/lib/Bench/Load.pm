# SPDX-License-Identifier: Apache-2.0
# Owns sending load: the requests of a workload as bytes, wrk, and our own generator. Does not look
# at the proxy that gets it.
package Bench::Load;
use v5.36;

use JSON::PP qw(decode_json);

use HA::Log;

use Bench::Contender;

use constant {SESSIONS => 500, PACED_CLIENTS => 256, TIMEOUT_SECONDS => 60};

# Which one: wrk or own, as told, or wrk when it is there.
sub new($class, $t, $wanted)
{
    my $wrk = Bench::Contender::find_program('wrk');
    die "--load=wrk: wrk is not installed, see tools/setup --bench\n"
        if !$wrk && ($wanted // '') eq 'wrk';
    $wrk = undef if ($wanted // '') eq 'own';
    return bless {t => $t, wrk => $wrk, wanted => $wanted}, $class;
}

# In words for the report.
sub version($self)
{
    return 'bench/load, as told' if ($self->{wanted} // '') eq 'own';
    return 'bench/load, for wrk is not installed (tools/setup --bench does)' if !$self->{wrk};
    my ($version) = Bench::Contender::first_line("$self->{wrk} -v") =~ /^wrk (\S+)/;
    return 'wrk ' . ($version // '?');
}

# --- requests -------------------------------------------------------------------------------------

# Both cookies that sessions go by are in each request, so that all contenders get the same bytes.
sub session_cookie($number, $route)
{
    return sprintf 'zsessionid=%032x.%s; SRV=%s', $number, $route, $route;
}

sub _request($workload, $cookie)
{
    my @lines = ("$workload->{method} $workload->{path} HTTP/1.1", 'Host: localhost');
    push @lines, 'User-Agent: bench', 'Accept: */*';
    push @lines, "Cookie: $cookie" if defined $cookie;
    push @lines, 'Content-Type: application/octet-stream', "Content-Length: $workload->{upload}"
        if $workload->{upload};
    push @lines, 'Connection: close' if $workload->{close};
    return join("\r\n", @lines, '', '') . 'x' x $workload->{upload};
}

# The file of a workload's requests: sessions of all members in turn where they are sticky.
sub _requests_file($self, $workload, $routes)
{
    my $path = $self->{t}->dir("$workload->{name}.requests");
    return $path if -e $path;
    my @cookies = $workload->{sticky}
        ? map { session_cookie($_, $routes->[$_ % @$routes]) } 0 .. SESSIONS - 1
        : undef;
    my @requests = map { _request($workload, $_) } @cookies;
    return $self->{t}->write_file($path, join '', map {length($_) . "\n$_"} @requests);
}

# --- sending --------------------------------------------------------------------------------------

sub _begin($self, $env, @command)
{
    my $name = 'load-' . ++$self->{count};
    return {name => $name, pid => $self->{t}->spawn($name, cmd => \@command, env => $env)};
}

# Waits for the end of one that was begun. The JSON of its last line.
sub end($self, $load, $timeout = 3 * TIMEOUT_SECONDS + 3600)
{
    my $t = $self->{t};
    if (!eval { $t->wait_end($load->{pid}, $timeout); 1 }) {
        my $why = $@;
        $t->signal($load->{pid}, 'KILL');
        die $why;
    }
    my $text = HA::Log->new($t->dir("$load->{name}.out"))->text;
    unlink $t->dir("$load->{name}.out");
    my ($line) = $text =~ /^(\{.*\})$/m;
    die "the load generator failed: $text\n" if !defined $line;
    return decode_json($line);
}

# Runs a program to its end, likewise.
sub _run($self, $timeout, $env, @command)
{
    return $self->end($self->_begin($env, @command), $timeout);
}

# Begins to run a program, for `end`.
sub begin_program($self, @command)
{
    return $self->_begin({}, @command);
}

# Begins to send the requests in a file with bench/load, for `end`.
sub begin_file($self, $port, $file, @options)
{
    my $program = HA::Test::top_builddir() . '/bench/load';
    return $self->_begin({}, $program, '-p', $port, '-f', $file, '-t', TIMEOUT_SECONDS, @options);
}

# The same, to its end. Its result.
sub send_file($self, $port, $file, @options)
{
    return $self->end($self->begin_file($port, $file, @options));
}

sub _own($self, $contender, $workload, @options)
{
    my $file = $self->_requests_file($workload, $contender->{routes});
    return $self->send_file($contender->port, $file, @options);
}

# As fast as answers come.
sub closed($self, $contender, $workload, $seconds)
{
    my @clients = ('-c', $workload->{clients});
    return $self->_own($contender, $workload, @clients, '-s', $seconds) if !$self->{wrk};
    return $self->_run(
        TIMEOUT_SECONDS + $seconds,
        {BENCH_REQUESTS => $self->_requests_file($workload, $contender->{routes})},
        $self->{wrk}, '-t', 1, @clients, '-d', "${seconds}s", '--timeout', TIMEOUT_SECONDS . 's',
        '-s', HA::Test::top_srcdir() . '/bench/wrk.lua', 'http://127.0.0.1:' . $contender->port
    );
}

# The same for a part of a second, so that everything is connected and in the caches.
sub warm_up($self, $contender, $workload, $seconds)
{
    return $self->_own($contender, $workload, '-c', $workload->{clients}, '-s', $seconds);
}

# A request of each client, all at once.
sub burst($self, $contender, $workload)
{
    return $self->_own($contender, $workload, '-c', $workload->{clients}, '-1');
}

# So many requests a second, evenly; time counts from when each was due.
sub paced($self, $contender, $workload, $seconds, $rate)
{
    return $self->_own(
        $contender, $workload, '-c', PACED_CLIENTS, '-s', $seconds, '-r', sprintf('%.3f', $rate)
    );
}

# --- idle clients ---------------------------------------------------------------------------------

# Clients that ask once and stay. Returns when they all are there.
sub hold_idle($self, $contender, $workload, $count)
{
    my $t = $self->{t};
    my $name = 'idle-' . ++$self->{count};
    my $file = $self->_requests_file($workload, $contender->{routes});
    my $program = HA::Test::top_builddir() . '/bench/idle';
    my $pid = $t->spawn($name, cmd => [$program, $contender->port, $file, $count]);
    my $log = HA::Log->new($t->dir("$name.out"));
    my $idle = {pid => $pid, log => $log};
    $t->wait_for(
        sub { $log->text =~ /^ready (\d+)$/m || defined $t->ended($pid) },
        TIMEOUT_SECONDS + 30, 'idle clients'
    );
    ($idle->{held}) = $log->text =~ /^ready (\d+)$/m or die 'bench/idle: ' . $log->text;
    return $idle;
}

# Lets them go. How many of them the proxy had closed.
sub let_go($self, $idle)
{
    my $t = $self->{t};
    $t->signal($idle->{pid}, 'TERM');
    $t->wait_end($idle->{pid});
    my ($lost) = $idle->{log}->text =~ /^held \d+ lost (\d+)$/m or die "bench/idle said nothing\n";
    return $lost;
}

1;
