# SPDX-License-Identifier: Apache-2.0
# Owns the environment of an integration test: its folder, ports, processes, waiting, and what has
# to hold at its end. Does not know httpd's configuration or HTTP: see HA::Httpd and HA::Client.
package HA::Test;
use v5.36;

use Cwd qw(abs_path);
use Errno qw(ECHILD);
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX qw(:sys_wait_h setsid sigprocmask SIGHUP SIGINT SIGTERM SIG_BLOCK
    SIG_SETMASK);
use Scalar::Util qw(weaken);
use Test::More ();
use Time::HiRes qw(CLOCK_MONOTONIC clock_gettime sleep time);

use HA::App;
use HA::Client;
use HA::Example;
use HA::Httpd;
use HA::Load;
use HA::Log;
use HA::Sanitizer;

# Below the range that the kernel takes ports for outgoing connections from.
use constant {PORT_MIN => 10240, PORT_MAX => 32000, POLL_SECONDS => 0.01, DEADLINE_SECONDS => 15};
# What is left of a test that died has this long to end by itself.
use constant END_SECONDS => 5;
use constant PRCTL => {x86_64 => 157, aarch64 => 167}->{(POSIX::uname())[4]};
use constant PR_SET_PDEATHSIG => 1;

my @all;

# `use HA::Test` gives a test file Test::More and spread() as well.
sub import($class, @)
{
    Test::More->export_to_level(1);
    no strict 'refs';
    my $caller = caller;
    *{"${caller}::spread"} = \&spread;
    return;
}

# What reads our output may have been ended too: END must not die of a pipe that is closed.
sub _interrupted($)
{
    $SIG{PIPE} = 'IGNORE';
    exit 128 + 2;
}

# A new environment. Options: keep => 1 leaves the folder behind, as HA_KEEP=1 does; lean => 1 has
# the address sanitizer give back what is freed, where memory is measured.
sub new($class, %opt)
{
    $SIG{INT} = $SIG{TERM} = $SIG{HUP} = \&_interrupted;
    my $dir = tempdir('ha-XXXXXXXX', TMPDIR => 1);
    chmod 0755, $dir;
    mkdir "$dir/san";
    chmod 01777, "$dir/san";
    my $self = bless {
        dir => abs_path($dir),
        keep => $opt{keep} // $ENV{HA_KEEP},
        lean => $opt{lean},
        owner => $$,
        processes => {},
        apps => {},
        httpds => [],
        logs => [],
        expected => [],
        ports => {},
        started => time,
    }, $class;
    push @all, $self;
    weaken($all[-1]);
    return $self;
}

# --- the build ------------------------------------------------------------------------------------

sub top_srcdir
{
    state $dir = abs_path($ENV{top_srcdir} // '.');
    return $dir;
}

sub top_builddir
{
    my $beside = -e top_srcdir() . '/Makefile' ? top_srcdir() : top_srcdir() . '/build';
    state $dir = abs_path($ENV{top_builddir} // $beside);
    return $dir;
}

# The value of a variable in the built Makefile; empty when there is none.
sub build_var($name)
{
    state %vars;
    if (!%vars) {
        my $makefile = top_builddir() . '/Makefile';
        open(my $in, '<', $makefile) or die "no $makefile: configure first\n";
        while (my $line = <$in>) {
            $vars{$1} //= $2 if $line =~ /^(\w+) = (.*?)\s*$/;
        }
    }
    return $vars{$name} // '';
}

# Sanitizers that the build was configured with, as a list of words.
sub sanitizers
{
    return split /,/, $ENV{HA_SANITIZE} // build_var('SANITIZE');
}

# Where the module is built; it need not exist.
sub module_path
{
    return top_builddir() . '/.libs/mod_haproxy.so';
}

# --- namespaces -----------------------------------------------------------------------------------

# Puts the test into namespaces of its own, with these flags of unshare(1), by running it anew: before
# it has begun anything. Why that cannot be done, or undef; so says `why_not`, which is asked first.
sub enter_namespaces($why_not, @flags)
{
    my $is_there = 'HA_UNSHARED' . join('', @flags) =~ tr/-/_/r;
    return undef if $ENV{$is_there};
    my $why = $why_not->();
    return $why if defined $why;
    local $ENV{$is_there} = 1;
    exec 'unshare', @flags, $^X, (map {"-I$_"} @INC), $0 or return "unshare: $!";
}

# --- folder, ports --------------------------------------------------------------------------------

# The private folder, or the path of something in it.
sub dir($self, $name = undef)
{
    return defined $name ? "$self->{dir}/$name" : $self->{dir};
}

# Writes a file in the folder, by rename. Its path.
sub write_file($self, $name, $text)
{
    my $path = $name =~ m{^/} ? $name : $self->dir($name);
    open(my $out, '>:raw', "$path.new") or die "$path.new: $!\n";
    print $out $text;
    close($out) or die "$path.new: $!\n";
    rename("$path.new", $path) or die "$path: $!\n";
    return $path;
}

# A port on 127.0.0.1 that is free now and was not given out before.
sub port($self)
{
    for (1 .. 1000) {
        my $port = PORT_MIN + int rand(PORT_MAX - PORT_MIN);
        next if $self->{ports}{$port}++;
        my @local = (LocalAddr => '127.0.0.1', LocalPort => $port);
        my $probe = IO::Socket::INET->new(@local, Listen => 1) or next;
        close $probe;
        return $port;
    }
    die "no free port between @{[PORT_MIN]} and @{[PORT_MAX]}\n";
}

# --- processes ------------------------------------------------------------------------------------

# Starts a process in a session of its own, its output in NAME.out. Its pid. Takes cmd => [...] or
# code => sub; env => {...}; ends with the test even if that is killed (death => signal number).
sub spawn($self, $name, %opt)
{
    my $out = $self->dir("$name.out");
    # A signal that ends us has to find the process in our list.
    my ($stops, $before) = (POSIX::SigSet->new(SIGINT, SIGTERM, SIGHUP), POSIX::SigSet->new);
    sigprocmask(SIG_BLOCK, $stops, $before);
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
        sigprocmask(SIG_SETMASK, $before);
        setsid();
        syscall(PRCTL, PR_SET_PDEATHSIG, $opt{death} // POSIX::SIGKILL) if PRCTL;
        if ($opt{code}) {
            eval { $opt{code}->(); 1 } or print STDERR $@;
            POSIX::_exit($@ ? 1 : 0);
        }
        open(STDIN, '<', '/dev/null');
        open(STDOUT, '>>', $out) and open(STDERR, '>&', \*STDOUT);
        chdir $self->{dir};
        %ENV = (%ENV, HA::Sanitizer::env($self->dir('san'), $self->{lean}), %{$opt{env} // {}});
        exec {$opt{cmd}[0]} @{$opt{cmd}} or print STDERR "$opt{cmd}[0]: $!\n";
        POSIX::_exit(127);
    }
    $self->{processes}{$pid} = {name => $name, out => $out, signals => {}};
    sigprocmask(SIG_SETMASK, $before);
    return $pid;
}

# The wait status of a process that has ended, undef while it runs.
sub ended($self, $pid)
{
    my $process = $self->{processes}{$pid} // die "pid $pid was not started by this test\n";
    if (!defined $process->{status} && waitpid($pid, WNOHANG) == $pid) {
        $process->{status} = $?;
    }
    return $process->{status};
}

# Sends a signal by name; to die of it is no surprise then.
sub signal($self, $pid, $name)
{
    my $process = $self->{processes}{$pid} // die "pid $pid was not started by this test\n";
    return if defined $self->ended($pid);
    $process->{signals}{$name} = 1;
    CORE::kill($name, $pid);
    return;
}

# What it ends with is no surprise, or that it dies of this signal, which others send.
sub may_fail($self, $pid)
{
    $self->{processes}{$pid}{may_fail} = 1;
    return;
}

sub may_die_by($self, $pid, $signal)
{
    $self->{processes}{$pid}{signals}{$signal} = 1;
    return;
}

# Waits until a process has ended. Its wait status.
sub wait_end($self, $pid, $timeout = DEADLINE_SECONDS)
{
    my $process = $self->{processes}{$pid};
    $self->wait_for(sub { defined $self->ended($pid) }, $timeout, "the end of $process->{name}");
    return $process->{status};
}

# Waits until a process that got SIGSTOP has stopped.
sub wait_stopped($self, $pid)
{
    my $stopped = sub { (process_list()->{$pid}{state} // '') eq 'T' };
    $self->wait_for($stopped, DEADLINE_SECONDS, 'a stopped process');
    return;
}

# Processes by the fields of /proc/PID/stat: pid => {ppid, session, state}.
sub process_list
{
    my %list;
    for my $path (glob '/proc/[0-9]*/stat') {
        open(my $in, '<', $path) or next;
        my $line = <$in> // next;
        $line =~ /^(\d+) \(.*\) (\S) (\d+) \d+ (\d+)/s or next;
        $list{$1} = {state => $2, ppid => $3, session => $4};
    }
    return \%list;
}

# Pids of the children of a process.
sub children_of($pid)
{
    my $list = process_list();
    my @pids = grep {$list->{$_}{ppid} == $pid && $list->{$_}{state} ne 'Z'} keys %$list;
    return sort {$a <=> $b} @pids;
}

# --- waiting --------------------------------------------------------------------------------------

# Waits for a sub to return true, or for a new line in any httpd's error log that matches a qr//;
# each line satisfies the same pattern once. What the sub returned, or the line. Dies when it takes
# longer than `timeout` seconds.
sub wait_for($self, $what, $timeout = DEADLINE_SECONDS, $name = undef)
{
    my $until = time + $timeout;
    while (1) {
        my $got = ref $what eq 'CODE' ? $what->() : $self->_take($what);
        return $got if $got;
        last if time > $until;
        sleep POLL_SECONDS;
    }
    $name //= ref $what eq 'CODE' ? 'a condition' : "the log line $what";
    my (undef, $file, $line) = $self->_caller;
    die "waited $timeout s in vain for $name at $file line $line\n";
}

sub _take($self, $pattern)
{
    for my $log (@{$self->{logs}}) {
        my $line = $log->take($pattern);
        return $line if defined $line;
    }
    return undef;
}

sub _caller($self)
{
    my $depth = 1;
    $depth++ while (caller $depth)[0] && (caller $depth)[0] =~ /^HA::/;
    my @frame = caller $depth;
    return @frame ? @frame : caller 1;
}

# Lets so much time pass; `while` is called all the time.
sub pass_ms($self, $ms, $while = sub { })
{
    my $until = clock_gettime(CLOCK_MONOTONIC) + $ms / 1000;
    while (clock_gettime(CLOCK_MONOTONIC) < $until) {
        $while->();
        sleep POLL_SECONDS;
    }
    return;
}

# Log lines up to now satisfy no wait_for from now on.
sub mark($self)
{
    $_->mark for @{$self->{logs}};
    return;
}

# --- the parts ------------------------------------------------------------------------------------

# Starts an instance of the application under that name, or finds the one already started.
sub app($self, $name, %opt)
{
    return $self->{apps}{$name} //= HA::App->new($self, $name, %opt)->start;
}

# Starts an instance of an example's application, in a language of HA::Example.
sub example($self, $language, $name, %opt)
{
    return HA::Example->new($self, $language, $name, %opt)->start;
}

# Configures an httpd and starts it; start => 0 leaves that to the test.
sub httpd($self, %opt)
{
    my $httpd = HA::Httpd->new($self, %opt);
    push @{$self->{httpds}}, $httpd;
    push @{$self->{logs}}, $httpd->log;
    $httpd->start if $opt{start} // 1;
    return $httpd;
}

# The first httpd of the test.
sub proxy($self)
{
    return $self->{httpds}[0] // die "the test has no httpd\n";
}

# A client of the first httpd, or of port => N or path => SOCKET.
sub client($self, %opt)
{
    $opt{port} //= $self->proxy->port if !$opt{path};
    return HA::Client->new(%opt);
}

# Starts a load in the background, see HA::Load.
sub load($self, %opt)
{
    $opt{port} //= $self->proxy->port;
    return HA::Load->new($self, %opt);
}

# Kills an instance with SIGKILL, or starts it again on its ports, by name.
sub kill($self, $name)
{
    $self->{apps}{$name}->kill;
    return;
}

sub start($self, $name)
{
    $self->{apps}{$name}->start;
    return;
}

# How `count` requests without cookies are answered, by instance: "hostA:15 hostB:15". Answers
# other than 2xx and failures count by themselves: "hostA:28 status503:2". Takes an environment or
# a client; options go to the requests.
sub spread($from, $path, $count, %opt)
{
    my $client = $from->isa('HA::Test') ? $from->client(cookies => 0) : $from;
    my %by;
    for (1 .. $count) {
        my $r = $client->get($path, %opt);
        my $who = $r->instance // '-';
        $who = 'status' . $r->status if $r->status !~ /^2/;
        $who = 'failed' if !$r->status;
        $by{$who}++;
    }
    return join ' ', map {"$_:$by{$_}"} sort keys %by;
}

# --- the end --------------------------------------------------------------------------------------

# Lines that match are no surprise in any log.
sub expect_log($self, @patterns)
{
    push @{$self->{expected}}, @patterns;
    return;
}

# One that was stopped hears nothing, not even SIGTERM.
sub _continue_stopped($self)
{
    my $list = process_list();
    my @ours = grep {$self->{processes}{$list->{$_}{session}}} keys %$list;
    # Those that run too: one may have been told to stop and not have done so yet.
    CORE::kill('CONT', @ours);
    return;
}

# Kills a process with all of its session, and removes the shared memory that it leaves then: an
# httpd that ends by itself does that.
sub kill_session($self, $pid)
{
    my $list = process_list();
    my @pids = grep {$list->{$_}{session} == $pid} keys %$list;
    my @shared = map {shared_memory($_)} @pids;
    $self->may_die_by($pid, 'KILL');
    CORE::kill('KILL', $pid, @pids);
    unlink @shared;
    return;
}

# Paths of the named shared memory that a process has.
sub shared_memory($pid)
{
    open(my $in, '<', "/proc/$pid/maps") or return;
    my %paths = map {m{ (/dev/shm/\S+)$} ? ($1 => 1) : ()} <$in>;
    return sort keys %paths;
}

# Ends everything that still runs, httpds first.
sub stop_all($self)
{
    $self->_continue_stopped;
    # One that has only just been started has no control port yet.
    for my $app (values %{$self->{apps}}) {
        eval { $app->let_go };
    }
    $_->stop for grep {$_->running} @{$self->{httpds}};
    for my $pid (sort {$a <=> $b} keys %{$self->{processes}}) {
        next if defined $self->ended($pid);
        $self->signal($pid, 'TERM');
        next if eval { $self->wait_end($pid); 1 };
        my $who = "$self->{processes}{$pid}{name} (pid $pid)";
        push @{$self->{surprises}}, "$who did not end on SIGTERM";
        $self->kill_session($pid);
        $self->wait_end($pid);
    }
    return;
}

sub _surprises_of_processes($self)
{
    my @found = @{$self->{surprises} // []};
    my %signal_names;
    @signal_names{split ' ', $Config::Config{sig_num}} = split ' ', $Config::Config{sig_name};
    for my $pid (sort {$a <=> $b} keys %{$self->{processes}}) {
        my $process = $self->{processes}{$pid};
        my $status = $self->ended($pid) // next;
        my $signal = $signal_names{$status & 127} // '';
        my $who = "$process->{name} (pid $pid)";
        if ($status & 127) {
            push @found, "$who died by SIG$signal" if !$process->{signals}{$signal};
        } elsif ($status && !$process->{may_fail}) {
            push @found, "$who ended with exit code " . ($status >> 8);
        }
    }
    my $list = process_list();
    for my $pid (sort {$a <=> $b} keys %$list) {
        my $process = $self->{processes}{$list->{$pid}{session}};
        next if !$process || !defined $process->{status} || $list->{$pid}{state} eq 'Z';
        push @found, "$process->{name} left process $pid over";
        CORE::kill('KILL', $pid);
    }
    return @found;
}

# A system that has updated its httpd, and its OpenSSL not yet, makes mod_ssl warn of that.
use constant SYSTEMS => qr/\[ssl:warn\] .* AH01882: /;

sub _is_expected($self, $line)
{
    return !!grep {$line =~ $_} SYSTEMS, @{$self->{expected}};
}

# What a log says that nobody expects: error or worse, warn, a child's signal, and lines that are
# not httpd's own (a library that aborts writes such).
sub _surprises_of_logs($self)
{
    my %sent = map {$_ => 1} map {@{$_->killed}} @{$self->{httpds}};
    my @found;
    for my $log (@{$self->{logs}}) {
        for my $line (@{$log->lines}) {
            next if $self->_is_expected($line);
            if ($line =~ /child pid (\d+) exit signal/) {
                push @found, $line if !$sent{$1};
            } elsif ($line !~ /^\[[^\]]+\] \[[\w-]*:(\w+)\] /) {
                push @found, $line if $line =~ /\S/;
            } elsif ($1 =~ /^(?:emerg|alert|crit|error|warn)$/) {
                push @found, $line;
            }
        }
    }
    for my $httpd (@{$self->{httpds}}) {
        push @found, grep {/\S/ && !$self->_is_expected($_)} @{$httpd->output->lines};
    }
    return @found;
}

# What speaks against a good end so far, a line each: empty is good. Call it after stop_all.
sub problems($self)
{
    return ($self->_surprises_of_processes, $self->_surprises_of_logs, HA::Sanitizer::reports($self->dir('san')));
}

# Ends the test: stops everything, asserts that nothing unexpected happened, and ends the plan.
sub done($self)
{
    $self->stop_all;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $problems = join "\n", $self->problems;
    Test::More::is($problems, '', 'nothing unexpected in logs, reports and processes');
    # What a child ended with says nothing about the test.
    local $? = 0;
    $self->_clean;
    Test::More::done_testing();
    return;
}

sub _show_logs($self)
{
    my %outputs = map {$_->{out} => 1} values %{$self->{processes}};
    for my $log (@{$self->{logs}}, map {HA::Log->new($_)} sort keys %outputs) {
        my @lines = @{$log->lines};
        next if !@lines;
        splice @lines, 0, @lines - 30 if @lines > 30;
        Test::More::diag('--- end of ' . $log->path);
        Test::More::diag($_) for @lines;
    }
    return;
}

sub _clean($self)
{
    return if $self->{clean};
    $self->_show_logs if !Test::More->builder->is_passing || $?;
    return $self->remove;
}

# Removes the folder without a word, for a program that is no test.
sub remove($self)
{
    return if $self->{clean}++;
    if ($self->{keep}) {
        Test::More::diag("kept $self->{dir}");
        return;
    }
    remove_tree($self->{dir}, {safe => 0});
    return;
}

# Ends everything at once and without a word.
sub _abandon($self)
{
    my @pids = grep {!eval { defined $self->ended($_) }} keys %{$self->{processes}};
    $self->_continue_stopped;
    CORE::kill('TERM', @pids);
    my $all_ended = sub { !grep {!defined $self->ended($_)} @pids };
    eval { $self->wait_for($all_ended, END_SECONDS) };
    for my $pid (grep {!defined $self->ended($_)} @pids) {
        $self->kill_session($pid);
        waitpid($pid, 0);
    }
    return;
}

# A test that died or was interrupted: nothing of it stays.
END {
    my $status = $?;
    for my $t (grep {defined && $_->{owner} == $$ && !$_->{clean}} @all) {
        local @SIG{qw(INT TERM HUP PIPE)} = ('IGNORE') x 4;
        $t->_abandon;
        $? = $status || 255;
        $t->_clean;
    }
    $? = $status;
}

use Config;

1;
