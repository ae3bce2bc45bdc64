# SPDX-License-Identifier: Apache-2.0
# Owns what bench/failover does in a run of each task: it kills, waits and takes the time. Does not
# judge the numbers: that is Bench::FailoverReport.
package Bench::FailoverTask;
use v5.36;

use IO::Select;
use List::Util qw(max sum0);
use Time::HiRes qw(CLOCK_MONOTONIC clock_gettime sleep time);

use Bench::Cluster;
use Bench::FailoverRequests;
use Bench::Machine;

use HA::Mount qw(balancer children);
use HA::Service;

use constant {POLL_SECONDS => 0.005, COMMIT_SECONDS => 30, CLIENTS => 64, RATE_SECONDS => 2, CHILDREN => 4, MAPS => 10, DAY => 86_400};
use constant PROXIES => 2;

# The worlds of the tasks begin when they are first needed.
sub new($class, $t)
{
    return bless {t => $t, changes => 0}, $class;
}

sub _now_ms() { return 1000 * clock_gettime(CLOCK_MONOTONIC) }

# --- the worlds ------------------------------------------------------------------------------------

# Folders that apache2's children can enter, one for each node.
sub map_files($self, $name)
{
    my $t = $self->{t};
    my @files;
    for my $id (0 .. Bench::Cluster::NODES - 1) {
        my $dir = $t->dir("$name-map-$id");
        mkdir $dir or die "$dir: $!\n";
        chmod 0755, $dir;
        push @files, "$dir/map";
    }
    return @files;
}

# Two proxies, each with the map of a node and perhaps more configuration, and the instances that they
# share.
sub start_proxies($self, $name, $cluster, $files, $more = '')
{
    my $t = $self->{t};
    my @apps = map {$t->app("$name$_")} qw(A B);
    $cluster->orders(
        ['app-set', app => 'App', single => \0],
        map {['member-set', app => 'App', route => $_->name, url => $_->url, weight => 1, admin => 'enabled']} @apps
    );
    my @servers = map {
        $t->httpd(
            name => "$name-proxy$_",
            modules => [qw(proxy proxy_http)],
            haproxy => 1,
            log_level => 'info haproxy:debug',
            mpm_config => children(CHILDREN, 25),
            config => join "\n", "HAMap $files->[$_]", 'HALane On', balancer('App', \@apps, check => undef), $more,
        )
    } 0 .. PROXIES - 1;
    my $version = $cluster->leader->map->{version};
    $self->_await($_, $version) for @servers;
    return @servers;
}

sub _world($self)
{
    return $self->{cluster} if $self->{cluster};
    my @files = $self->map_files('main');
    $self->{cluster} = Bench::Cluster->new($self->{t}, 'main', nodes => {map {$_ => {mapFile => $files[$_]}} 0 .. $#files});
    $self->{cluster}->settled;
    $self->{servers} = [$self->start_proxies('main', $self->{cluster}, \@files)];
    return $self->{cluster};
}

# Daemons alone.
sub _bare_world($self)
{
    return $self->{bare} //= Bench::Cluster->new($self->{t}, 'bare', service => 0);
}

# --- the leader is killed -------------------------------------------------------------------------

# A change of the map that is like no other of the last hundred.
sub change($self)
{
    my $n = $self->{changes}++;
    return ('member-set', app => 'App', route => 'bench', weight => 1 + $n % 100, admin => 'drain');
}

# When the first of these has a command done.
sub _until_committed($self, @zerods)
{
    my (%socket, %zerod);
    my $until = time + COMMIT_SECONDS;
    while (time < $until) {
        for my $zerod (grep {!$socket{$_}} @zerods) {
            my $socket = Bench::Cluster::connection($zerod) // next;
            syswrite $socket, Bench::Cluster::line($self->change);
            ($socket{$zerod}, $zerod{$socket}) = ($socket, $zerod);
        }
        for my $ready (IO::Select->new(values %socket)->can_read(POLL_SECONDS)) {
            my $answer = readline($ready) // '';
            return _now_ms() if $answer =~ /"end": ?"done"/;
            delete $socket{delete $zerod{$ready}};
            sleep POLL_SECONDS;
        }
    }
    die "nothing was committed for @{[COMMIT_SECONDS]} s after the leader was killed\n";
}

sub leader($self)
{
    my $cluster = $self->_world;
    my $leader = $cluster->leader;
    my $begin = _now_ms();
    $leader->kill;
    my $took = $self->_until_committed($cluster->others($leader)) - $begin;
    $cluster->mend;
    return {took => $took};
}

# --- the host of the active one is lost -----------------------------------------------------------

sub _lose($self, $leads)
{
    my $cluster = $self->_world;
    my $service = $cluster->service;
    my $active = $cluster->settled;
    my ($other) = $cluster->others($active);
    $cluster->hand_lead($leads ? $active : $other);
    my $begin = HA::Service::now_ms();
    $active->lose($service);
    my $life;
    my $elsewhere = sub { ($life) = grep {$_->{id} ne $active->{id} && $_->{from} >= $begin} $service->lives };
    $self->{t}->wait_for($elsewhere, 60, 'the service elsewhere');
    $cluster->mend;
    return {took => $life->{from} - $begin};
}

sub host($self) { return $self->_lose(0) }
sub both($self) { return $self->_lose(1) }

# --- by hand --------------------------------------------------------------------------------------

sub switchover($self)
{
    my $cluster = $self->_world;
    my $service = $cluster->service;
    my $active = $cluster->settled;
    my ($to) = $cluster->others($active);
    my $begin = HA::Service::now_ms();
    my $answer = $cluster->leader->ask({ask => 'switchover', to => $to->{id}}) // {};
    die 'switchover: ' . ($answer->{error} // 'no answer') . "\n" if ($answer->{moves} // '') ne $to->{id};
    my $life;
    $self->{t}->wait_for(sub { ($life) = grep {$_->{id} eq $to->{id} && $_->{from} >= $begin} $service->lives }, 30, 'the service there');
    $cluster->settled;
    my $took = $life->{from} - $begin;
    my $scripts = $service->scripts_ms($begin, $life->{from}, $active->{id}, $to->{id});
    return {took => $took, scripts => $scripts, rest => $took - $scripts};
}

# --- a change of the map --------------------------------------------------------------------------

# The time of day in a line of the log, and that of a time.
sub _logged($line)
{
    my ($h, $m, $s) = $line =~ /^\[\w+ \w+ \d+ (\d+):(\d+):([\d.]+) / or die "no time: $line\n";
    return 3600 * $h + 60 * $m + $s;
}

sub _of_day($time)
{
    my ($s, $m, $h) = localtime $time;
    return 3600 * $h + 60 * $m + $s + $time - int $time;
}

# Waits until all children have that map or a later one. The lines where they say so first.
sub _await($self, $server, $version)
{
    my @first;
    my $line = qr/\[pid (\d+)[:\]].*HAMap: this child follows map (\d+)$/;
    my $all_follow = sub {
        my %first;
        for my $said (@{$server->log->lines}) {
            $first{$1} //= $said if $said =~ $line && $2 >= $version;
        }
        @first = map {$first{$_} // ()} $server->children;
        return @first == CHILDREN;
    };
    $self->{t}->wait_for($all_follow, 15, "map $version in all children of $server->{name}");
    return @first;
}

sub map($self)
{
    my $cluster = $self->_world;
    my $leader = $cluster->leader;
    my (@each, @all);
    for (1 .. MAPS) {
        my ($do, %fields) = $self->change;
        my $said = $leader->order($do, %fields) // 'no answer';
        my $begin = _of_day(time);
        my ($version) = $said =~ /^done (\d+)/ or die "a change of the map: $said\n";
        my @took = map {1000 * (_logged($_) - $begin)} map {$self->_await($_, $version)} @{$self->{servers}};
        @took = map { max(0, $_ < -1000 * DAY / 2 ? $_ + 1000 * DAY : $_) } @took;
        push @each, @took;
        push @all, max(@took);
    }
    return {each => \@each, all => \@all};
}

# --- commands a second ----------------------------------------------------------------------------

# Each client changes the weight of a member of an application that no proxy has.
sub _command($n)
{
    return Bench::Cluster::line('member-set', app => 'Bench', route => 'm' . $n % 8, weight => 1 + int($n / 8) % 100, admin => 'enabled');
}

# Keeps these clients busy until then: how long each command took, in ms.
sub _keep_busy($until_ms, @clients)
{
    my ($n, %sent, @took) = (0);
    my $send = sub ($client) { $sent{$client} = _now_ms(); syswrite $client, _command($n++) };
    my $select = IO::Select->new(@clients);
    $send->($_) for @clients;
    while (_now_ms() < $until_ms) {
        for my $client ($select->can_read(1)) {
            sysread $client, my $answer, 4096;
            die "a command: $answer\n" if ($answer // '') !~ /"end": ?"(?:done|unchanged)"/;
            push @took, _now_ms() - $sent{$client};
            $send->($client);
        }
    }
    readline $_ for @clients;
    return @took;
}

sub commands($self)
{
    my $cluster = $self->_bare_world;
    my $leader = $cluster->leader;
    $cluster->orders(['app-set', app => 'Bench', single => \0]);
    my @clients = map {Bench::Cluster::connection($leader) // die "control socket: $!\n"} 1 .. CLIENTS;
    my $cpu = sub (@zerods) { sum0 map {Bench::Machine::cpu_seconds($_->pid)} @zerods };
    my @others = $cluster->others($leader);
    my @before = ($cpu->($leader), $cpu->(@others));
    my $begin = _now_ms();
    my @took = _keep_busy($begin + 1000 * RATE_SECONDS, @clients);
    my $seconds = (_now_ms() - $begin) / 1000;
    my @cpu = ($cpu->($leader) - $before[0], $cpu->(@others) - $before[1]);
    $cluster->orders(['app-remove', app => 'Bench']);
    return {rate => @took / $seconds, took => \@took, leader_cpu => 1e6 * $cpu[0] / @took, others_cpu => 1e6 * $cpu[1] / @took};
}

# --- memory ---------------------------------------------------------------------------------------

sub _memory_kb($pid)
{
    open(my $in, '<', "/proc/$pid/smaps_rollup") or return;
    my %kb = map {/^(Rss|Pss):\s+(\d+) kB/ ? ($1 => $2) : ()} <$in>;
    return @kb{qw(Rss Pss)};
}

# Of each daemon; the process that it has started and that runs the same program is its guard.
sub memory($self)
{
    my (@rss, @pss, @guard_pss);
    for my $zerod ($self->_world->all) {
        my ($rss, $pss) = _memory_kb($zerod->pid);
        push @rss, $rss;
        push @pss, $pss;
        my $program = readlink '/proc/' . $zerod->pid . '/exe';
        my @guards = grep {(readlink "/proc/$_/exe" // '') eq $program} HA::Test::children_of($zerod->pid);
        push @guard_pss, sum0 map {(_memory_kb($_))[1] // 0} @guards;
    }
    return {rss => \@rss, pss => \@pss, guard_pss => \@guard_pss};
}

# --- at the end -----------------------------------------------------------------------------------

# Requests while all sorts of things happen to daemons.
sub requests($self)
{
    $self->{requests} //= Bench::FailoverRequests->new($self);
    return $self->{requests}->run;
}

# What the services of all clusters have written down in all runs.
sub overlap($self)
{
    $self->_world if !Bench::Cluster->all_clusters;
    my @services = map {$_->service // ()} Bench::Cluster->all_clusters;
    my @lives = map {$_->lives} @services;
    return {lives => scalar @lives, overlap => sum0 map {$_->overlap_ms} @services};
}

sub end($self)
{
    Bench::Cluster->stop_all;
    return;
}

1;
