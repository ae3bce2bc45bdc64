# SPDX-License-Identifier: Apache-2.0
# Restarts of every kind: what is known of the members stays, one child watches them, clients notice
# nothing, and nothing is left behind.
use v5.36;

use File::Find qw(find);
use IO::Select;
use Time::HiRes qw(time);

use HA::Manager;
use HA::Mount qw(children);
use HA::Test;

use constant {RESTARTS => 100, RATE => 50, REQUESTS_A_RESTART => 20, INTERVAL_SECONDS => 0.5};

my $t = HA::Test->new;
my %app = map {$_ => $t->app($_)} qw(hostA hostB hostC hostD);
my %shm_before = map {$_ => 1} glob '/dev/shm/*';

# The configuration with these members, and further lines.
sub config($names, @more)
{
    my $members = join "\n", map {qq(BalancerMember "${\$app{$_}->url}" route=$_)} @$names;
    return <<~"END" . join "\n", @more, '';
        <Proxy "balancer://App">
            $members
            ProxySet stickysession=zsessionid
        </Proxy>
        ProxyPass        "/App" "balancer://App/App"
        ProxyPassReverse "/App" "balancer://App/App"
        HABalancer App
        HACheck    App uri=/App/health interval=500ms timeout=300ms rise=2 fall=2
        HAStateFile state
        <Location "/manager">
            SetHandler balancer-manager
        </Location>
        END
}

my @all = qw(hostA hostB hostC hostD);
my @modules = qw(proxy proxy_http proxy_balancer slotmem_shm lbmethod_byrequests);
my $proxy = $t->httpd(
    haproxy => 1,
    mpm => 'event',
    log_level => 'info haproxy:debug',
    modules => \@modules,
    mpm_config => <<~'END',
        StartServers 2
        ServerLimit 16
        ThreadsPerChild 16
        MaxRequestWorkers 256
        MinSpareThreads 16
        MaxSpareThreads 256
        END
    config => config(\@all),
);
my $manager = HA::Manager->new(port => $proxy->port);

# Who answers a session of that route.
sub who($route)
{
    my $cookie = "zsessionid=session1.$route";
    my $r = $t->client(cookies => 0)->get('/App/plain', headers => {Cookie => $cookie});
    return $r->instance // 'status ' . $r->status;
}

sub states
{
    my $sessions = join ' ', map {"$_:" . who($_)} qw(hostA hostB hostC);
    return spread($t, '/App/plain', 10) . ", sessions $sessions";
}

my $as_told = 'hostA:5 hostB:5, sessions hostA:hostA hostB:hostB hostC:hostC';

# The child that watched the members last.
sub watcher
{
    my @lines = grep {/this child watches the members now/} @{$proxy->log->lines};
    return @lines && $lines[-1] =~ /\[pid (\d+)/ ? $1 : 0;
}

# True while that child runs.
sub watched
{
    my $pid = watcher();
    return !!grep {$_ == $pid} $proxy->children;
}

sub child_count
{
    my @children = $proxy->children;
    return scalar @children;
}

sub takeovers
{
    return $proxy->log->count(qr/this child watches the members now/);
}

# Whose memory this segment is, over all processes: pids by "inode".
sub mappings
{
    my %by;
    for my $path (glob '/proc/[0-9]*/maps') {
        my ($pid) = $path =~ /(\d+)/;
        open(my $in, '<', $path) or next;
        while (<$in>) {
            push @{$by{$1}}, $pid if m{^\S+ \S+ \S+ \S+ (\d+)\s+/memfd:mod_haproxy };
        }
    }
    return \%by;
}

# The segment that the server has mapped now.
sub segment
{
    my $by = mappings();
    my ($inode) = grep {grep {$_ == $proxy->pid} @{$by->{$_}}} keys %$by;
    return $inode;
}

sub processes_of($session)
{
    my $list = HA::Test::process_list();
    return grep {$list->{$_}{session} == $session && $list->{$_}{state} ne 'Z'} keys %$list;
}

# What is left of a server whose processes were these, as text: empty is good.
sub leftovers($inode, @pids)
{
    my %ours = map {$_ => 1} @pids;
    my @left = map {"mapped by $_"} @{mappings()->{$inode} // []};
    push @left, grep {/haproxy/i && !$shm_before{$_}} glob '/dev/shm/*';
    if (open(my $in, '<', '/proc/sysvipc/shm')) {
        my @segments = grep {$ours{$_->[4]}} map {[split]} <$in>;
        push @left, map {"shared memory $_->[1] of $_->[4]"} @segments;
    }
    return join ', ', @left;
}

sub files_of_server
{
    my $root = $proxy->root;
    my @files;
    find(sub { push @files, $File::Find::name =~ s{^\Q$root\E/}{}r if !-d }, $root);
    return join ' ', sort @files;
}

subtest 'an operator drains one member and another one dies' => sub {
    $t->wait_for(qr/member $_: unknown -> up/) for @all;
    is(spread($t, '/App/plain', 20), 'hostA:5 hostB:5 hostC:5 hostD:5', 'all four serve at first');
    $manager->tell('App', $app{hostC}->url, 'drain');
    ok($t->wait_for(qr/member hostC: enabled -> drain, by an operator/), 'the drain is noticed');
    $t->kill('hostD');
    ok($t->wait_for(qr/member hostD: up -> down, connect refused/), 'so is the death');
    is(states(), $as_told, 'two share new sessions, and the drained one keeps its own');
};

subtest 'a hundred graceful restarts under load fail no request' => sub {
    my %loads = (
        'kept connections, no session' => {},
        'one connection a request, no session' => {keep_alive => 0},
        'kept connections, a session of hostA' => {route => 'hostA'},
        'one connection a request, a drained session' => {route => 'hostC', keep_alive => 0},
    );
    for my $opt (values %loads) {
        my $route = delete $opt->{route};
        $opt->{headers} = {Cookie => "zsessionid=session1.$route"} if $route;
        my $allowed = $route ? qr/^$route$/ : qr/^host[AB]$/;
        $opt->{check} = sub ($r) { $r->instance =~ $allowed ? undef : 'served by ' . $r->instance };
        $opt->{load} = $t->load(path => '/App/plain', rate => RATE, count => 1_000_000, %$opt);
    }
    my $pace = $loads{'kept connections, no session'}{load};
    my $changes = $proxy->log->count(qr/member \w+: .*->/);
    my $probes = $app{hostA}->count->{health};
    my $begin = time;
    for my $n (1 .. RESTARTS) {
        $proxy->graceful;
        $pace->wait_progress(int $n * REQUESTS_A_RESTART / 4);
    }
    my $seconds = time - $begin;
    $_->{load}->finish for values %loads;
    for my $name (sort keys %loads) {
        my $result = $loads{$name}{load}->wait;
        is($result->{failed}, 0, "$name: none of $result->{sent} failed") or diag explain $result;
    }
    is(states(), $as_told, 'affinity, drain and verdict are as they were');
    is($proxy->log->count(qr/member \w+: .*->/), $changes, 'no state changed in all that time');
    # A new watcher begins with a probe of its own within an interval.
    my $most = $seconds / INTERVAL_SECONDS / 0.9 + RESTARTS + 1;
    cmp_ok($app{hostA}->count->{health} - $probes, '<=', $most, 'probes did not pile up');
    note(sprintf '%d restarts in %.1f s, %d takeovers', RESTARTS, $seconds, takeovers());
};

subtest 'one child probes, once an interval' => sub {
    $t->wait_for(sub { child_count() == 2 }, 20, 'the end of the old children');
    for my $name (qw(hostA hostB)) {
        my $count = sub { $app{$name}->count->{health} };
        my $before = $count->();
        $t->wait_for(sub { $count->() > $before });
        ($before, my $begin) = ($count->(), time);
        $t->wait_for(sub { $count->() >= $before + 4 });
        my $seconds = time - $begin;
        cmp_ok($seconds, '>', 4 * 0.9 * INTERVAL_SECONDS - 0.05, "$name: not more often");
        cmp_ok($seconds, '<', 4 * 1.1 * INTERVAL_SECONDS + 1, "$name: not less often");
    }
};

subtest 'when the watcher is killed another child takes over at once' => sub {
    for (1 .. 3) {
        my ($pid, $before, $begin) = (watcher(), takeovers(), time);
        ok(watched(), 'the watcher is one of the children');
        push @{$proxy->killed}, $pid;
        kill KILL => $pid;
        $t->wait_for(sub { takeovers() > $before }, 5, 'a takeover');
        cmp_ok(time - $begin, '<', 1, 'within a second');
        isnt(watcher(), $pid, 'by another child');
        $t->wait_for(sub { child_count() == 2 }, 20, 'a child in its place');
    }
    is(states(), $as_told, 'with what it knew');
    my $probes = $app{hostA}->count->{health};
    ok($t->wait_for(sub { $app{hostA}->count->{health} > $probes + 2 }), 'and probes go on');
};

subtest 'another HAMaxMembers over a graceful restart keeps states' => sub {
    my $before = segment();
    my $changes = $proxy->log->count(qr/member \w+: .*->/);
    for my $max (16, 4096) {
        $proxy->write_config(config(\@all, "HAMaxMembers $max"));
        $proxy->graceful;
        is(states(), $as_told, "HAMaxMembers $max: as before");
    }
    my $now = segment();
    isnt($now, $before, 'in other memory');
    $t->wait_for(sub { !mappings()->{$before} }, 20, 'the old memory to go');
    pass('the old memory goes with the old children');
    is($proxy->log->count(qr/member \w+: .*->/), $changes, 'no state changed');
    $t->wait_for(\&watched, 5, 'a watcher');
    $t->mark;
    my $takeovers = takeovers();
    $t->start('hostD');
    ok($t->wait_for(qr/member hostD: down -> up/), 'and changes are seen in the new one');
    $t->kill('hostD');
    ok($t->wait_for(qr/member hostD: up -> down/), 'both ways');
    is(takeovers(), $takeovers, 'by the one watcher');
};

subtest 'a member that is taken out and put back is who it was' => sub {
    $proxy->write_config(config([qw(hostA hostB hostD)]));
    $proxy->graceful;
    like(who('hostC'), qr/^host[AB]$/, 'without it, others take its sessions');
    is(spread($t, '/App/plain', 10), 'hostA:5 hostB:5', 'and its place closes');
    $proxy->write_config(config([qw(hostB hostC hostD hostA)]));
    $proxy->graceful;
    is(states(), $as_told, 'back, in whatever order, it drains as before');
};

subtest 'other modules over a graceful restart put ours elsewhere' => sub {
    for my $more ([qw(lua dav)], [], [qw(dav lua cgid)]) {
        $proxy->load_modules(@modules, @$more);
        $proxy->write_config;
        $proxy->graceful;
        is(states(), $as_told, "with (@$more) states are as before");
    }
};

subtest 'a hard restart keeps states as well' => sub {
    my $changes = $proxy->log->count(qr/member \w+: .*->/);
    $proxy->restart;
    is(states(), $as_told, 'as before');
    is($proxy->log->count(qr/member \w+: .*->/), $changes, 'no state changed');
    $manager->tell('App', $app{hostC}->url, 'drain', 0);
    ok($t->wait_for(qr/member hostC: drain -> enabled, by an operator/), 'the operator is done');
};

# Balancers at /NAME, as they stand: [NAME, arguments of HABalancer, letters of members].
sub several(@balancers)
{
    return join '', map {
        my ($name, $ours, $letters) = @$_;
        my $members = join "\n",
            map {qq(BalancerMember "${\$app{"host$_"}->url}" route=host$_)} split //, $letters;
        <<~"END";
            <Proxy "balancer://$name">
                $members
            </Proxy>
            ProxyPass "/$name" "balancer://$name/App"
            HABalancer $name affinity=none $ours
            END
    } @balancers;
}

sub another_server(@balancers)
{
    return $t->httpd(haproxy => 1, modules => [qw(proxy proxy_http)], config => several(@balancers));
}

# Two requests at once, of which one has no place in the queue and is refused: both clients, the one
# that waits first.
sub wait_in_queue($server, $path)
{
    my @clients = map {$t->client(port => $server->port, retry => 0)} 1 .. 2;
    $_->send($_->format_request(GET => $path)) for @clients;
    my ($refused) = IO::Select->new(map {$_->socket} @clients)->can_read(10);
    return sort {($b->socket != $refused) <=> ($a->socket != $refused)} @clients;
}

# mod_proxy does it for the first child, and leaves it to the threads of the others.
subtest 'a child is ready for its members before it has threads' => sub {
    my $server = $t->httpd(
        haproxy => 1, mpm => 'event', modules => \@modules, config => several(['one', '', 'AB']),
        mpm_config => children(2, 8), log_level => 'info proxy:debug',
    );
    $t->expect_log(qr/ \[proxy:debug\] /);
    my @children = $server->children;
    is(scalar @children, 2, 'there are two children');
    for my $pid (@children) {
        my $made = qr/\[pid $pid:tid $pid\] .* initializing worker http\S+ local/;
        ok($t->wait_for(sub { $server->log->count($made) == 2 }), "$pid has made both ready");
    }
    $server->stop;
};

subtest 'balancers that change places keep their turns, whatever HAMaxMembers' => sub {
    my @two = (['one', '', 'AB'], ['two', '', 'ABC']);
    my $server = another_server(@two);
    my $next = sub ($name) { spread($t->client(port => $server->port), "/$name/plain", 1) };
    is($next->('one'), 'hostA:1', 'one has its first turn');
    for my $max ('', "HAMaxMembers 16\n", "HAMaxMembers 4096\n") {
        @two = reverse @two;
        my %old = map {$_ => 1} $server->children;
        $server->write_config($max . several(@two));
        $server->graceful;
        $t->wait_for(sub { !grep {$old{$_}} $server->children }, 20, 'the end of the old children');
        is($next->('one'), $max =~ /16/ ? 'hostA:1' : 'hostB:1', "one goes on ($two[0][0] first) $max");
    }
    is($next->('two'), 'hostA:1', 'and the other one begins');
    $server->stop;
};

subtest 'children of before and of now do not queue for one balancer under two names' => sub {
    my @two = (['one', 'max=1 queue=1 queue-timeout=1m', 'A'], ['two', 'max=1 queue=1 queue-timeout=1m', 'B']);
    $t->expect_log(qr/(?:one|two): no member for \S+: every member that could be used is at its max/);
    my $server = another_server(@two);
    $app{$_}->hang for qw(hostA hostB);
    my $busy = $t->client(port => $server->port);
    $busy->send($busy->format_request(GET => '/one/plain'));
    $t->wait_for(sub { $app{hostA}->count->{hanging} == 1 });
    my ($waits, $refused) = wait_in_queue($server, '/one/plain');
    is($refused->read_response->status, 503, 'one waits for one, and there is no place for two');

    $server->write_config(several(reverse @two));
    $server->graceful;
    my $other = $t->client(port => $server->port);
    $other->send($other->format_request(GET => '/two/plain'));
    $t->wait_for(sub { $app{hostB}->count->{hanging} == 1 });
    my ($second, $away) = wait_in_queue($server, '/two/plain');
    is($away->read_response->status, 503, 'of two that come for two, one has no place');
    is($t->client(port => $server->port)->get('/one/plain')->status, 503,
        'nor has one that comes for one, where an old child has one waiting');
    $app{$_}->release for qw(hostA hostB);
    my @all = map {$_->read_response->status} $busy, $waits, $other, $second;
    is("@all", '200 200 200 200', 'all others are served');
    $server->stop;
};

subtest 'a stop leaves nothing behind' => sub {
    my ($inode, @pids) = (segment(), $proxy->pid, $proxy->children);
    ok($inode, 'shared memory was there');
    $proxy->stop;
    is(leftovers($inode, @pids), '', 'neither memory');
    is(files_of_server(), 'conf/httpd.conf logs/error.log state', 'nor files but the state');
};

subtest 'nor does a parent that is killed' => sub {
    $proxy->start;
    my ($inode, @pids) = (segment(), $proxy->pid, $proxy->children);
    my $session = $proxy->pid;
    $t->signal($session, 'KILL');
    $t->wait_end($session);
    is($t->client->get('/App/plain')->status, 200, 'its children still serve');
    kill KILL => processes_of($session);
    $t->wait_for(sub { !processes_of($session) }, 15, 'the end of the children');
    is(leftovers($inode, @pids), '', 'no memory is left');
    unlike(files_of_server(), qr/hap|shm/, 'nor a file of ours');
    $t->expect_log(qr/AH00098: pid file .* overwritten/);
    $proxy->start;
    like(spread($t, '/App/plain', 10), qr/^hostA:\d+ hostB:\d+ hostC:\d+$/, 'the next start works');
};

$t->done;
