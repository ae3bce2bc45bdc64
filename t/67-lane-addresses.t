# SPDX-License-Identifier: Apache-2.0
# Where the lane finds members that are named: names are looked up aside, again and again.
use v5.36;

use Fcntl;
use POSIX qw(mkfifo);

use HA::Mount qw(one_child);
use HA::Test;

my $t = HA::Test->new;
if (!HA::Httpd::can_have_hosts($t)) {
    plan(skip_all => 'only root can mount a hosts file of its own');
}

# A balancer of that name and its mount.
sub mount($name, @members)
{
    my $rows = join "\n", map {"BalancerMember $members[$_] route=m$_ connectiontimeout=2"} 0 .. $#members;
    return <<~"CONFIG";
        <Proxy "balancer://$name">
        $rows
        </Proxy>
        HABalancer $name
        ProxyPass "/$name" "balancer://$name/App"
        CONFIG
}

sub server($hosts, @mounts)
{
    return $t->httpd(
        modules => [qw(proxy proxy_http)],
        haproxy => 1,
        mpm => 'event',
        mpm_config => one_child(25),
        hosts => $hosts,
        config => join('', "HALane Require\n", @mounts),
    );
}

# In place: what is mounted is this very file.
sub write_hosts($file, %names)
{
    open(my $out, '>', $file) or die "$file: $!\n";
    print $out join '', map {my $name = $_; map {"$_ $name.test\n"} split ' ', $names{$name}} sort keys %names;
    close $out or die "$file: $!\n";
    return;
}

# Two instances at one port of two addresses.
sub neighbours($name)
{
    my $first = $t->app($name);
    return ($first, $t->app("${name}2", args => ['-listen=127.0.0.2:' . $first->port]));
}

sub instance($server, $mount)
{
    my $answer = $t->client(port => $server->port, cookies => 0)->get("/$mount/plain");
    return $answer->status == 200 ? $answer->instance : $answer->status;
}

my ($a, $a2) = neighbours('hostA');
my ($b, $b2) = neighbours('hostB');
my $hosts = $t->write_file('hosts', '');
my %names = (a => '127.0.0.1', b => '127.0.0.1', c => '127.0.0.1 127.0.0.2', m => '127.0.0.1');
write_hosts($hosts, %names);
my $only2 = $t->app('only2', args => ['-listen=127.0.0.2:' . (my $shared = $t->port)]);
my $stuck = IO::Socket::INET->new(LocalAddr => '0.0.0.0', Listen => 1) // die "listen: $!\n";
my $server = server(
    $hosts,
    mount('Often', 'http://a.test:' . $a->port . ' addressttl=1'),
    mount('Seldom', 'http://b.test:' . $b->port . ' addressttl=3600'),
    mount('Never', 'http://n.test:' . $a->port),
    mount('Marker', 'http://m.test:' . $a->port . ' addressttl=1'),
    mount('First', 'http://c.test:' . $only2->port),
    mount('Second', "http://c.test:$shared"),
    mount('Stuck', 'http://c.test:' . $stuck->sockport),
    mount('Probed', $a->url) . "HACheck Probed interval=100ms\n",
);

subtest 'an address changes' => sub {
    is(instance($server, 'Often'), 'hostA', 'the first one');
    is($a->count->{open}, 1, 'its connection waits');
    write_hosts($hosts, %names, a => '127.0.0.2');
    $t->wait_for(qr/Often: member m0: a\.test is at 127\.0\.0\.2 now, one of 1/);
    is(instance($server, 'Often'), 'hostA2', 'the second one');
    ok($t->wait_for(sub { $a->count->{open} == 0 }), 'and no connection to the first one is left');
};

subtest 'a connection that was in use is not kept either' => sub {
    $a2->barrier_hold;
    my $client = $t->client(port => $server->port, cookies => 0);
    $client->send($client->format_request(GET => '/Often/plain'));
    $a2->barrier_wait(1);
    write_hosts($hosts, %names);
    $t->wait_for(qr/Often: member m0: a\.test is at 127\.0\.0\.1 now/);
    $a2->barrier_open;
    is($client->read_response->instance, 'hostA2', 'it is answered');
    is(instance($server, 'Often'), 'hostA', 'others go where the member is now');
    ok($t->wait_for(sub { $a2->count->{open} == 0 }), 'and it is closed');
};

subtest 'a lookup that fails keeps the last address' => sub {
    delete local $names{a};
    for my $address ('127.0.0.2', '127.0.0.1') {
        write_hosts($hosts, %names, m => $address);
        $t->wait_for(qr/Marker: member m0: m\.test is at \Q$address\E now/);
    }
    is(instance($server, 'Often'), 'hostA', 'a name that is gone');
};

subtest 'after a connect has failed the name is looked up at once' => sub {
    is(instance($server, 'Seldom'), 'hostB', 'the first one');
    $names{b} = '127.0.0.2';
    write_hosts($hosts, %names);
    is(instance($server, 'Seldom'), 'hostB', 'still, while it is there');
    $t->kill('hostB');
    is(instance($server, 'Seldom'), 'hostB2', 'then, without an error, where it is now');
};

subtest 'a name with several addresses' => sub {
    is(instance($server, 'First'), 'only2', 'served at one of them');
    is(instance($server, 'Second'), 'only2', 'and at the other');
    is($server->log->count(qr/(?:First|Second): member/), 0, 'without any trouble');
};

# Somebody waits to be connected to this port (state 2: SYN_SENT).
sub is_connecting($port)
{
    my $line = sprintf '^\s*\d+: \w+:\w+ \w+:%04X 02 ', $port;
    open(my $in, '<', '/proc/net/tcp') or die "/proc/net/tcp: $!\n";
    return scalar grep {/$line/} <$in>;
}

# Nobody accepts at either address, and the queue is full. Meanwhile descriptors run out.
subtest 'what we have too little of for the next address is no failure of the member' => sub {
    my @queue = map {HA::Client->new(port => $stuck->sockport)} 1, 2;
    $_->connect for @queue;
    $t->expect_log(qr{Stuck: /Stuck/plain was not carried: no descriptor, port or memory for a connection});
    my $client = $t->client(port => $server->port, cookies => 0);
    $client->send($client->format_request(GET => '/Stuck/plain'));
    my ($child) = $server->children;
    $t->wait_for(qr/Probed: member m0: unknown -> up/);
    $t->wait_for(sub { is_connecting($stuck->sockport) }, 10, 'the first address to be tried');
    my $before = $server->limit_descriptors($child, 10);
    $t->wait_for(qr/Stuck: \S+ was not carried/);
    $t->wait_for(sub { $server->log->count(qr/Probed: member m0: not probed for want of descriptors/) > 5 });
    $server->limit_descriptors($child, $before);
    is($server->log->count(qr/(?:Stuck|Probed): member m0(?!: not probed|: unknown -> up)/), 0, 'nobody is blamed');
};

subtest 'a name that nobody knows' => sub {
    $t->expect_log(qr/Never: (?:member m0 failed on|member m0: |no member for)/);
    is(instance($server, 'Never'), 503, 'no connection');
    write_hosts($hosts, %names, n => '127.0.0.1');
    ok($t->wait_for(sub { instance($server, 'Never') eq 'hostA' }), 'served once it is known');
};

subtest 'a lookup that hangs holds up nobody else' => sub {
    my $fifo = $t->dir('slow-hosts');
    mkfifo($fifo, 0644) or die "$fifo: $!\n";
    $t->expect_log(qr/Both: member m0/);
    # Who reads the hosts file hangs until somebody writes.
    my $slow = server($fifo, mount('Both', 'http://a.test:' . $a->port, $b2->url), mount('Plain', $b2->url));
    ok($slow->running, 'not the start');
    my $waiting = $t->client(port => $slow->port, cookies => 0);
    $waiting->send($waiting->format_request(GET => '/Both/plain'));
    is(instance($slow, 'Plain'), 'hostB2', 'not other members') for 1 .. 5;
    is($waiting->read_response->instance, 'hostB2', 'who waits for the name goes elsewhere in the end');
    # Lookups from now on read the real file, the one that hangs finds nothing.
    write_hosts($hosts, %names);
    is(system('nsenter', '-t', $slow->pid, '-m', 'mount', '--bind', $hosts, '/etc/hosts'), 0, 'the hosts file is there');
    sysopen(my $writer, $fifo, O_WRONLY | O_NONBLOCK) or die "$fifo: $!\n";
    close $writer;
    ok($t->wait_for(sub { instance($slow, 'Both') eq 'hostA' }), 'the member is found when its name is');
};

$t->done;
