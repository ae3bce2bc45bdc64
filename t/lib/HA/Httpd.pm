# SPDX-License-Identifier: Apache-2.0
# Owns an httpd of the distribution that runs in a private folder on loopback. Does not own what the
# test configures in it.
package HA::Httpd;
use v5.36;

use IO::Socket::INET;
use POSIX qw(SIGTERM);
use Time::HiRes qw(sleep);

use HA::Log;

use constant {START_TRIES => 5, SETTLE_SECONDS => 0.1};

my %MPM_DEFAULTS = (
    event => <<~'END',
        StartServers 2
        ServerLimit 4
        ThreadsPerChild 25
        MaxRequestWorkers 100
        MinSpareThreads 25
        MaxSpareThreads 100
        END
    worker => <<~'END',
        StartServers 2
        ServerLimit 4
        ThreadsPerChild 25
        MaxRequestWorkers 100
        MinSpareThreads 25
        MaxSpareThreads 100
        END
    prefork => <<~'END',
        StartServers 8
        ServerLimit 64
        MaxRequestWorkers 64
        MinSpareServers 4
        MaxSpareServers 64
        END
);

# Options: mpm => event|worker|prefork; mpm_config => text in place of the default; modules => [...]
# without "mod_"; haproxy => 1 loads ours, haproxy => 'first' does so before mod_proxy, preload => 1
# when the text of config does; ports => how many; listen => [...] further Listen arguments;
# log_level => 'info'; descriptors => how many each process may have; name => 'httpd'; hosts => FILE
# in place of /etc/hosts and of name servers, where can_have_hosts is true; single => 1 for one
# process that is all (-X); env => {...} further environment; config => text, whole => 1 when that is all of it. In the text @PORT@,
# @PORT2@ ... and @ROOT@ stand for the ports and the folder.
sub new($class, $t, %opt)
{
    my $name = $opt{name} // 'httpd' . (@{$t->{httpds}} ? 1 + @{$t->{httpds}} : '');
    my $root = $t->dir($name);
    my $self = bless {t => $t, name => $name, root => $root, killed => [], %opt}, $class;
    $self->{mpm} //= $ENV{HA_MPM} // 'event';
    for my $sub ('', qw(/conf /logs /run /htdocs)) {
        mkdir "$root$sub" or die "$root$sub: $!\n";
        chmod 0755, "$root$sub";
    }
    my ($user) = $self->identity;
    chown((getpwnam $user)[2, 3], "$root/run") if $user;
    $self->{log} = HA::Log->new("$root/logs/error.log");
    $self->{output} = HA::Log->new($t->dir("$name.out"));
    $self->_choose_ports;
    return $self;
}

sub _choose_ports($self)
{
    $self->{port} = [map {$self->{t}->port} 1 .. $self->{ports} // 1];
    $self->write_config;
    return;
}

# User and group for the children of a server that starts as root; empty for an ordinary user.
sub identity($self)
{
    return if $> != 0;
    my ($user) = grep {defined getpwnam $_} qw(www-data nobody);
    return ($user, scalar getgrgid((getpwnam $user)[3]));
}

sub _module_lines($self)
{
    my $folder = HA::Test::build_var('HTTPD_LIBEXECDIR');
    my %seen;
    my @names = grep {!$seen{$_}++} "mpm_$self->{mpm}", 'authz_core', @{$self->{modules} // []};
    my @lines = map {qq(LoadModule ${_}_module "$folder/mod_$_.so")} @names;
    return @lines if !$self->{haproxy};
    my $ours = 'LoadModule haproxy_module "' . HA::Test::module_path() . '"';
    return $self->{haproxy} eq 'first' ? ($ours, @lines) : (@lines, $ours);
}

# The modules of the next configuration that is written.
sub load_modules($self, @names)
{
    $self->{modules} = \@names;
    return;
}

# Writes the configuration; with a text, that takes the place of the test's part (before a restart).
sub write_config($self, $config = undef)
{
    my ($t, $root) = @$self{qw(t root)};
    my ($user, $group) = $self->identity;
    $self->{config} = $config if defined $config;
    my $mpm_config = $self->{mpm_config} // $MPM_DEFAULTS{$self->{mpm}} // '';
    my @lines = $self->{whole} ? $self->{config} : (
        qq(ServerRoot "$root"),
        'ServerName localhost',
        qq(PidFile "$root/run/httpd.pid"),
        qq(DefaultRuntimeDir "$root/run"),
        'Mutex pthread default',
        qq(ErrorLog "$root/logs/error.log"),
        'LogLevel ' . ($self->{log_level} // 'info'),
        qq(DocumentRoot "$root/htdocs"),
        $self->_module_lines,
        $user ? ("User $user", "Group $group") : (),
        (map {"Listen 127.0.0.1:$_"} @{$self->{port}}),
        (map {"Listen $_"} @{$self->{listen} // []}),
        $mpm_config,
        $self->{config} // '',
    );
    my $text = join("\n", @lines) . "\n";
    $text =~ s/\@PORT(\d*)\@/$self->{port}[($1 || 1) - 1] \/\/ die "no port $1\n"/ge;
    $text =~ s/\@ROOT\@/$root/g;
    $t->write_file("$root/conf/httpd.conf", $text);
    return;
}

sub root($self)      { return $self->{root} }
sub pid($self)       { return $self->{pid} }
sub log($self)       { return $self->{log} }
sub output($self)    { return $self->{output} }
sub killed($self)    { return $self->{killed} }
sub conf($self)      { return "$self->{root}/conf/httpd.conf" }
sub error_log($self) { return "$self->{root}/logs/error.log" }
sub mpm($self)       { return $self->{mpm} }

# The first port, or the n-th.
sub port($self, $n = 1)
{
    return $self->{port}[$n - 1];
}

sub url($self, $path = '/')
{
    return 'http://127.0.0.1:' . $self->port . $path;
}

# Pids of the children that serve.
sub children($self)
{
    return HA::Test::children_of($self->{pid});
}

# Which of them were there before the last restart.
sub _are_old($self)
{
    return {map {$_ => 1} @{$self->{old_children} // []}};
}

# Those that have come since then.
sub new_children($self)
{
    my $old = $self->_are_old;
    return grep {!$old->{$_}} $self->children;
}

sub running($self)
{
    return $self->{pid} && !defined $self->{t}->ended($self->{pid});
}

# Runs the rest of its arguments where the first two stand for /etc/hosts and /etc/nsswitch.conf.
my @WITH_HOSTS = (qw(unshare -m sh -c), 'mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/nsswitch.conf && shift 2 && exec "$@"', 'sh');

# Names of our own are possible: only root can mount, and not in every container.
sub can_have_hosts($t)
{
    my $any = $t->write_file('any-hosts', '');
    return $> == 0 && system("@WITH_HOSTS[0..3] '$WITH_HOSTS[4]' sh $any $any true >/dev/null 2>&1") == 0;
}

sub _command($self, @more)
{
    my @limit = $self->{descriptors} ? ('sh', '-c', 'ulimit -n "$0" && exec "$@"', $self->{descriptors}) : ();
    my @command = (@limit, HA::Test::build_var('HTTPD'), '-d', $self->{root}, '-f', $self->conf, @more);
    return \@command if !$self->{hosts};
    my $switch = $self->{t}->write_file('nsswitch.conf', "hosts: files\npasswd: files\ngroup: files\n");
    return [@WITH_HOSTS, $self->{hosts}, $switch, @command];
}

# A module built with sanitizers needs their runtime in the server before everything else: the
# environment for that.
sub runtime_env
{
    my %runtime = (address => 'asan', undefined => 'ubsan', thread => 'tsan');
    my @paths;
    for my $name (grep {defined} @runtime{HA::Test::sanitizers()}) {
        chomp(my $path = qx(gcc -print-file-name=lib$name.so));
        push @paths, $path;
    }
    return @paths ? {LD_PRELOAD => join ':', @paths} : {};
}

sub _env($self)
{
    my %env = $self->{haproxy} || $self->{preload} ? %{runtime_env()} : ();
    my %own = %{$self->{env} // {}};
    my @preloaded = grep {defined} $env{LD_PRELOAD}, $own{LD_PRELOAD};
    return {%env, %own, @preloaded ? (LD_PRELOAD => join ':', @preloaded) : ()};
}

# Runs the server once more, aside, to its end: (true when that was a good one, its output).
sub _try($self, @arguments)
{
    my ($t, $name) = ($self->{t}, "$self->{name}-try");
    my $pid = $t->spawn($name, cmd => $self->_command(@arguments), env => $self->_env);
    $t->may_fail($pid);
    my $ended = eval { $t->wait_end($pid); 1 };
    if (!$ended) {
        $t->signal($pid, 'TERM');
        $t->wait_end($pid);
    }
    my $output = HA::Log->new($t->dir("$name.out"))->text;
    unlink $t->dir("$name.out");
    return ($t->ended($pid) == 0, $output);
}

# What `httpd -t` says: (true when the configuration is good, its output).
sub check($self)
{
    return $self->_try('-t');
}

# Starts a server that is expected to refuse: (true when it did start, all that it said). Its log
# begins anew.
sub refusal($self)
{
    my ($good, $output) = $self->_try('-DFOREGROUND');
    $output .= HA::Log->new($self->error_log)->text;
    unlink $self->error_log;
    return ($good, $output);
}

sub _listens($self)
{
    for my $port (@{$self->{port}}) {
        IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 5) or return 0;
    }
    return 1;
}

sub _ready_count($self)
{
    return $self->{log}->count(qr/resuming normal operations/);
}

# The server is in front of us, so that it is our child and its end is seen.
sub _launch($self)
{
    my $t = $self->{t};
    my $before = $self->_ready_count;
    $self->{pid} = $t->spawn(
        $self->{name},
        cmd => $self->_command($self->{single} ? '-X' : '-DFOREGROUND'),
        env => $self->_env,
        death => SIGTERM,
    );
    $t->wait_for(
        sub {
            return 1 if !$self->running;
            my $ready = $self->{single} || $self->_ready_count > $before;
            return $ready && -s "$self->{root}/run/httpd.pid" && $self->_listens;
        },
        30, "the start of $self->{name}"
    );
    return $self->running;
}

# Starts the server and waits until it serves. Dies, with what it said, when it does not.
sub start($self)
{
    for (1 .. START_TRIES) {
        return $self if $self->_launch;
        my $said = $self->{output}->text . join "\n", @{$self->{log}->lines};
        if ($said !~ /Address already in use/) {
            die "$self->{name} did not start:\n$said\n";
        }
        $self->{t}->may_fail($self->{pid});
        unlink $self->error_log, $self->{t}->dir("$self->{name}.out");
        %{$self->{$_}} = %{HA::Log->new($self->{$_}->path)} for qw(log output);
        $self->_choose_ports;
    }
    die "$self->{name} found no free port\n";
}

sub _end($self, $signal, $timeout)
{
    my $t = $self->{t};
    $t->signal($self->{pid}, $signal);
    return if eval { $t->wait_end($self->{pid}, $timeout); 1 };
    push @{$t->{surprises}}, "$self->{name} did not end within $timeout s of SIG$signal";
    $t->kill_session($self->{pid});
    $t->wait_end($self->{pid});
    return;
}

# Stops the server at once, or when all requests are answered. It can be started again.
sub stop($self, $timeout = 20)
{
    # A worker of event that has just answered still puts its connection back; ended in that moment
    # it finds its pollset closed (AH03093) or worse. Nothing outside tells when it is done.
    sleep SETTLE_SECONDS;
    return $self->_end('TERM', $timeout);
}

sub graceful_stop($self, $timeout = 30)
{
    return $self->_end('WINCH', $timeout);
}

sub _reload($self, $signal)
{
    my $before = $self->_ready_count;
    $self->{old_children} = [$self->children];
    $self->{t}->signal($self->{pid}, $signal);
    $self->{t}->wait_for(
        sub { $self->_ready_count > $before || !$self->running },
        30, "$self->{name} after SIG$signal"
    );
    die "$self->{name} ended on SIG$signal:\n" . $self->{log}->text if !$self->running;
    return;
}

# Waits until the children from before the last restart have ended. They may accept a connection or
# two yet, and what the balancer-manager is told through one of them ends with it.
sub settle($self)
{
    my $old = $self->_are_old;
    $self->{t}->wait_for(sub { !grep {$old->{$_}} $self->children }, 30, 'the end of old children');
    return;
}

# Reads its configuration again: requests in flight are finished, or cut off. Returns when the new
# generation runs; children of the old one may still be finishing.
sub graceful($self)
{
    return $self->_reload('USR1');
}

sub restart($self)
{
    return $self->_reload('HUP');
}

# How many descriptors a child may have from now on, which its own user may say. How many it might
# have had.
sub limit_descriptors($self, $pid, $most)
{
    my ($user, $group) = $self->identity;
    my @as = $user ? ('setpriv', "--reuid=$user", "--regid=$group", '--clear-groups') : ();
    open(my $in, '<', "/proc/$pid/limits") or die "/proc/$pid/limits: $!\n";
    my ($before) = map {/^Max open files\s+(\d+)/ ? $1 : ()} <$in>;
    system(@as, 'prlimit', "--pid=$pid", "--nofile=$most:") == 0 or die "prlimit failed\n";
    return $before;
}

# Sends a signal to a child and expects its death. Returns when the server has noticed.
sub kill_child($self, $pid, $signal = 'KILL')
{
    push @{$self->{killed}}, $pid;
    kill $signal, $pid;
    $self->{t}->wait_for(sub { !HA::Test::process_list()->{$pid} }, 15, "child $pid to be reaped");
    return;
}

# The same for all of them; others have taken their place afterwards. Pids of the killed.
sub kill_children($self, $signal = 'KILL')
{
    my @pids = $self->children;
    push @{$self->{killed}}, @pids;
    kill $signal, @pids;
    my %old = map {$_ => 1} @pids;
    $self->{t}->wait_for(
        sub {
            my $list = HA::Test::process_list();
            !grep({$list->{$_}} @pids) && grep {!$old{$_}} $self->children;
        },
        15,
        'new children'
    );
    return @pids;
}

1;
