# SPDX-License-Identifier: Apache-2.0
# Owns a daemon of a cluster in a private folder: its configuration, its life, and asking it through its
# control socket; and what several of them have in common: who leads, and whether they agree.
package HA::Zerod;
use v5.36;

use IO::Select;
use IO::Socket::UNIX;
use JSON::PP ();
use Time::HiRes qw(time);

use HA::Log;
use HA::Test;

# A daemon that finds no leader says so after 10 s.
use constant {TIMEOUT_SECONDS => 10, ANSWER_SECONDS => 30, ELECTION_SECONDS => 30, SETTLE_SECONDS => 60, SAME_SECONDS => 40, AGAIN_SECONDS => 2, REFUSED_SECONDS => 0.1, ORDER_TRIES => 30};

my $orders = 0;

# Options: config => further keys of config.json; start => 0 leaves it for start().
sub new($class, $t, $name, %opt)
{
    my $self = bless {t => $t, name => $name, id => '' . ($opt{id} // 0)}, $class;
    $self->{dir} = $t->dir($name);
    mkdir $self->{dir} or die "$self->{dir}: $!\n";
    my %config = (
        appName => 'Voting',
        replicaIdList => ['0'],
        timeout => 5000,
        noOfRetryAttempts => 3,
        'ensure-active-0' => 'true',
        'ensure-passive-0' => 'true',
        dataDir => $self->{dir},
        %{$opt{config} // {}}
    );
    $self->{config} = $t->write_file("$self->{dir}/config.json", JSON::PP->new->canonical->encode(\%config));
    return ($opt{start} // 1) ? $self->start : $self;
}

# Daemons of one cluster, each in its own folder; those of ids from 0, then the `more` nodes as they
# stand in config.json. They run at once, unless start => 0. Options: service => an HA::Service that
# their scripts are of; map_file => {ID => PATH} where replicas write maps for proxies; config =>
# further keys.
sub cluster($class, $t, $name, %opt)
{
    my $n = $opt{n} // 3;
    my %more = %{$opt{more} // {}};
    my $secret = $t->write_file("$name.secret", $opt{secret} // ('5ec4e7' x 8) . "\n");
    chmod 0600, $secret;
    my %config = (
        replicaIdList => [map {"$_"} 0 .. $n - 1],
        nodes => {(map {$_ => $class->_node($t, $opt{map_file}{$_})} 0 .. $n - 1), map {$_ => {%{$more{$_}}, address => '127.0.0.1:' . $t->port}} keys %more},
        secretFile => $secret,
        ($opt{service} ? $opt{service}->config(0 .. $n - 1) : map {("ensure-active-$_" => 'true', "ensure-passive-$_" => 'true')} 0 .. $n - 1),
        %{$opt{config} // {}}
    );
    my @all = map {$class->new($t, "$name-$_", id => $_, config => \%config, start => 0)} 0 .. $n - 1, sort keys %more;
    $_->launch for ($opt{start} // 1) ? @all : ();
    return @all;
}

sub _node($class, $t, $map_file)
{
    my $address = '127.0.0.1:' . $t->port;
    return defined $map_file ? {address => $address, mapFile => $map_file} : $address;
}

# Another node of the cluster that this daemon is of, which joins it: `node` is its object in "nodes".
# It does not run yet.
sub joiner($self, $id, %node)
{
    my $t = $self->{t};
    my $config = $self->config_of;
    delete $config->{dataDir};
    $config->{nodes}{$id} = {%node, address => '127.0.0.1:' . $t->port};
    my $joiner = (ref $self)->new($t, "$self->{name}-$id", id => $id, config => $config, start => 0);
    $joiner->{joins} = 1;
    $joiner->{address} = $config->{nodes}{$id}{address};
    return $joiner;
}

# All of these but those.
sub others($not, @all)
{
    return grep {my $zerod = $_; !grep {$_ == $zerod} @$not} @all;
}

# Tells the cluster of a node, a voter that may lead unless `as` says something else: what order() says.
sub enlist($leader, $joiner, %as)
{
    my %node = (role => 'voter', electable => 1, %as);
    my $max = $leader->ask({ask => 'cluster'})->{raft_max};
    return $leader->order('node-set', node => $joiner->{id}, address => $joiner->{address}, role => $node{role}, electable => $node{electable} ? \1 : \0, raft => $max + 1);
}

# Asserts that each of these comes to have the same map.
sub same_map($what, @zerods)
{
    my $same = sub {
        my %maps = map {($_->map_text // '') => 1} @zerods;
        return keys %maps == 1 && !$maps{''};
    };
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ok(eval { $zerods[0]{t}->wait_for($same, SAME_SECONDS, 'the same map'); 1 }, $what);
}

# Waits until each of these tells the same of all that happened.
sub same_history(@zerods)
{
    my $same = sub {
        my %all = map {($_->history // '') => 1} @zerods;
        return keys %all == 1 && !$all{''};
    };
    return $zerods[0]{t}->wait_for($same, SAME_SECONDS, 'the same history');
}

# The one of these that leads and is the primary, once all that run have the same map of it.
sub leader_of(@zerods)
{
    my $t = $zerods[0]{t};
    my $leader;
    my $agreed = sub {
        my @run = grep {$_->running} @zerods;
        ($leader) = grep {($_->status // {})->{leads}} @run;
        return 0 if !$leader;
        my %maps = map {($_->map_text // '') => 1} @run;
        my $map = $leader->map // return 0;
        return keys %maps == 1 && ($map->{primary} // '') eq $leader->{id} && @{$map->{apps}};
    };
    $t->wait_for($agreed, ELECTION_SECONDS, 'a leader that all agree on');
    return $leader;
}

# Has this one lead, as the primary: who takes the lead too late gives it back. Who leads, once all of
# these agree on that.
sub hand_lead($to, @zerods)
{
    my $leads = sub { my $status = $to->status // {}; $status->{leads} && ($status->{primary} // '') eq $to->{id} };
    $to->ask_until({ask => 'primary', node => $to->{id}}, $leads, "$to->{name} to lead");
    return leader_of(@zerods);
}

# The one of these that is active, once what lives of this HA::Service is its alone.
sub active_of($service, @zerods)
{
    my $active;
    my $lives = sub { ($active) = grep {$_->role eq 'active'} @zerods; $active && join(' ', $service->alive) eq $active->{id} };
    $zerods[0]{t}->wait_for($lives, SETTLE_SECONDS, 'an active replica');
    return $active;
}

# The same, once all the others are passive.
sub settled($service, @zerods)
{
    my $roles = join ' ', 'active', ('passive') x (@zerods - 1);
    $zerods[0]{t}->wait_for(sub { join(' ', sort map {$_->role} @zerods) eq $roles }, SETTLE_SECONDS, $roles);
    return active_of($service, @zerods);
}

# What its config.json says.
sub config_of($self) { return JSON::PP->new->decode(slurp($self->{config})) }

# Has `change` make another configuration of it, for its next start.
sub reconfigure($self, $change)
{
    my $config = $self->config_of;
    $change->($config);
    return $self->{t}->write_file($self->{config}, JSON::PP->new->canonical->encode($config));
}

sub program { return HA::Test::top_builddir() . '/zerod' }

sub command($self, @more)
{
    return (program(), '-c', $self->{config}, '-i', $self->{id}, @more);
}

# Starts it and waits until it has something to say of itself.
sub start($self)
{
    $self->launch;
    $self->{t}->wait_for(sub { defined(($self->status // {})->{primary}) || !$self->running }, TIMEOUT_SECONDS, "the start of $self->{name}");
    die "$self->{name} did not start:\n" . $self->said . "\n" if !$self->running;
    return $self;
}

# What goes before the words of its command, such as that which runs it on another host, and what is
# in its environment, from its next start on.
sub runs_by($self, @words)
{
    $self->{by} = [@words];
    return;
}

sub env($self, %env)
{
    $self->{env} = {%env};
    return;
}

# Starts it, whatever comes of that.
sub launch($self)
{
    delete $self->{socket};
    $self->{said_before} = length $self->said;
    $self->{pid} = $self->{t}->spawn($self->{name}, cmd => [@{$self->{by} // []}, $self->command('-d', $self->{joins} ? '-j' : ())], env => $self->{env}, death => POSIX::SIGTERM);
    return;
}

# Starts it, when it is expected to refuse: (its exit code, what it said then).
sub refusal($self)
{
    $self->launch;
    $self->{t}->may_fail($self->{pid});
    my $status = $self->{t}->wait_end($self->{pid});
    return ($status & 127 ? 'signal ' . ($status & 127) : $status >> 8, $self->said_now);
}

sub pid($self)     { return $self->{pid} }
sub running($self) { return !defined $self->{t}->ended($self->{pid}) }
sub data($self)    { return "$self->{dir}/hal$self->{id}" }
sub said($self)    { return HA::Log->new($self->{t}->dir("$self->{name}.out"))->text }

# What it has said since its last start.
sub said_now($self) { return substr $self->said, $self->{said_before} }

sub kill($self)
{
    $self->{t}->signal($self->{pid}, 'KILL');
    $self->{t}->wait_end($self->{pid});
    return;
}

# All processes of this daemon's host: itself, its guard, its scripts; and the services that it has
# started, those of an HA::Service even if they hide their environment.
sub processes($self, $service = undef)
{
    my $dir = $self->data;
    my @all = ($self->{pid}, $service ? $service->pids($self->{id}) : ());
    for my $path (glob '/proc/[0-9]*') {
        my ($pid) = $path =~ /([0-9]+)$/;
        push @all, $pid
            if (slurp("$path/stat") // '') =~ /\) \S $self->{pid} /
            || (slurp("$path/environ") // '') =~ /(?:^|\0)HA_DIR=\Q$dir\E\0/
            || (slurp("$path/cmdline") // '') =~ /\0\Q$self->{config}\E\0/;
    }
    return @all;
}

sub slurp($path)
{
    open(my $in, '<', $path) or return undef;
    local $/;
    return <$in>;
}

# The host is lost, with all that runs on it.
sub lose($self, $service = undef)
{
    my %all;
    # What one of them has just begun is found when that one has been stopped.
    while (my @more = grep {!$all{$_}++} $self->processes($service)) {
        CORE::kill 'STOP', @more;
    }
    $self->{t}->signal($self->{pid}, 'KILL');
    CORE::kill 'KILL', keys %all;
    $self->{t}->wait_end($self->{pid});
    return;
}

# The daemon does not get any time, or goes on.
sub pause($self)  { return $self->{t}->signal($self->{pid}, 'STOP') }
sub resume($self) { return $self->{t}->signal($self->{pid}, 'CONT') }

# What its replica is, as status says.
sub role($self) { return (($self->status // {})->{replica} // {})->{role} // '' }

sub stop($self)
{
    $self->{t}->signal($self->{pid}, 'TERM');
    return $self->{t}->wait_end($self->{pid});
}

# Ends it with all that it has started. A guard would wait for the end of the lease.
sub end($self, $service = undef)
{
    my @all = grep {$_ != $self->{pid}} $self->processes($service);
    $self->resume;
    $self->stop;
    my $alive = sub { grep {(slurp("/proc/$_/stat") // ') Z') !~ /\) Z/} @all, grep {$_ != $self->{pid}} $self->processes($service) };
    $self->{t}->wait_for(sub { my @left = $alive->(); CORE::kill 'KILL', @left; !@left }, TIMEOUT_SECONDS, "the end of what $self->{name} has started");
    return;
}

# What it answers to a line; undef when nobody does, in so many seconds as it has `patience`.
sub ask_line($self, $line)
{
    $self->{socket} //= IO::Socket::UNIX->new(Peer => $self->data . '/control.sock', Timeout => TIMEOUT_SECONDS) or return undef;
    local $SIG{PIPE} = 'IGNORE';
    my $sent = syswrite($self->{socket}, "$line\n") && IO::Select->new($self->{socket})->can_read($self->{patience} // ANSWER_SECONDS);
    my $answer = $sent ? readline $self->{socket} : undef;
    delete $self->{socket} if !defined $answer;
    return $answer;
}

sub ask($self, $question)
{
    my $answer = $self->ask_line(JSON::PP->new->encode($question)) // return undef;
    return JSON::PP->new->decode($answer);
}

# Asks without waiting, also one that is stopped; what is returned waits for the answer.
sub ask_later($self, $question)
{
    my $socket = IO::Socket::UNIX->new(Peer => $self->data . '/control.sock', Timeout => TIMEOUT_SECONDS) or die "$self->{name}: $!\n";
    syswrite $socket, JSON::PP->new->encode($question) . "\n" or die "$self->{name}: $!\n";
    return sub {
        IO::Select->new($socket)->can_read(ANSWER_SECONDS) or die "$self->{name} does not answer\n";
        return JSON::PP->new->decode(readline($socket) // die "$self->{name} has hung up\n");
    };
}

# Asks for something until `done` says that it is so: every 2 s, and sooner when it is refused, such as
# while a node has not the map yet.
sub ask_until($self, $question, $done, $what)
{
    my $next = 0;
    my $is_done = sub {
        return 1 if $done->();
        return 0 if time < $next;
        my $answer = $self->ask($question) // {error => 'nobody answers'};
        $next = time + ($answer->{error} ? REFUSED_SECONDS : AGAIN_SECONDS);
        return 0;
    };
    return $self->{t}->wait_for($is_done, SETTLE_SECONDS, $what);
}

sub status($self) { return $self->ask({ask => 'status'}) }

# What happened, "INDEX WHAT" a line; undef when nobody answers.
sub history($self)
{
    my $answer = $self->ask({ask => 'history'}) // return undef;
    return join "\n", map {"$_->{index} $_->{what}"} @{$answer->{history}};
}

# "END VERSION", with the sentence unless it is done, of a command; or "error: ...". Who has just lost
# the lead is asked again, as `zero ha` does it: the command has a client's name of its own.
sub order($self, $do, %fields)
{
    my $answer;
    my %command = (do => $do, %fields);
    @command{qw(client seq)} = ('order-' . $$ . '-' . ++$orders, 1) if !exists $command{client};
    for (1 .. ORDER_TRIES) {
        $answer = $self->ask({ask => 'command', command => \%command}) // return undef;
        last if !$answer->{error} || !(defined $answer->{why} || $answer->{error} eq 'this node does not lead');
        select undef, undef, undef, 0.2;
    }
    return "error: $answer->{error}" if $answer->{error};
    return "$answer->{end} $answer->{version}" . ($answer->{why} ne '' ? ": $answer->{why}" : '');
}

# The map file as it is: its text, or undef; and what it says.
sub map_text($self)
{
    open(my $in, '<:raw', $self->data . '/map') or return undef;
    local $/;
    return <$in>;
}

sub map($self)
{
    return map_of($self->map_text // return undef);
}

sub map_of($text) { return JSON::PP->new->decode(body_of($text)) }

# What is behind the first line of a map file; dies when it is not whole.
sub body_of($text)
{
    my ($front, $body) = split /\n/, $text, 2;
    my ($kind, $version, $bytes, $sum) = split / /, $front // '';
    die "a map is damaged\n" if ($kind // '') ne 'zero-map' || length($body // '') != ($bytes // -1) || sha256($body) ne $sum;
    return $body;
}

sub sha256($bytes)
{
    require Digest::SHA;
    return Digest::SHA::sha256_hex($bytes);
}

1;
