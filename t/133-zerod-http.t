# SPDX-License-Identifier: Apache-2.0
# Health URLs and metrics of zerod: what balancers poll is answered at once and as it is, and whoever
# else calls there, however slowly, wrongly or often, does not keep them from that.
use v5.36;

use Time::HiRes qw(time);

use HA::Test;
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();

# The server's limits, and what a poll may take on a machine that is busy.
use constant {CONNECTIONS => 64, SEND_SECONDS => 5, HEAD_BYTES => 8192, QUICK_SECONDS => 1};

my $t = HA::Test->new;

# Gives these daemons, which do not run yet, their health URLs.
sub with_http(@all)
{
    my %ports = map {$_->{id} => $t->port} @all;
    for my $zerod (@all) {
        my $change = sub($config) {
            for my $id (keys %ports) {
                my $node = \$config->{nodes}{$id};
                $$node = {address => $$node} if !ref $$node;
                $$node->{http} = "127.0.0.1:$ports{$id}";
            }
        };
        $zerod->reconfigure($change);
        $zerod->{http} = $ports{$zerod->{id}};
    }
    return @all;
}

sub alone($name)
{
    my ($zerod) = with_http(HA::Zerod->new($t, $name, config => {nodes => {0 => '127.0.0.1:' . $t->port}}, start => 0));
    return $zerod->start;
}

sub client($zerod, %opt) { return $t->client(port => $zerod->{http}, cookies => 0, %opt) }

# "STATUS TEXT"; '' when nobody answers.
sub health($zerod, $path)
{
    my $answer = client($zerod)->get($path);
    return $answer->status ? $answer->status . ' ' . $answer->body =~ s/\n\z//r : '';
}

sub wait_health($zerod, $path, $pattern)
{
    my $got = '';
    eval { $t->wait_for(sub { ($got = health($zerod, $path)) =~ $pattern }, 20); 1 };
    return like($got, $pattern, "$zerod->{name}: $path");
}

# Ids of those that answer 200.
sub good($path, @all)
{
    return join ' ', map {$_->{id}} grep {health($_, $path) =~ /^200 /} @all;
}

# What is answered to these bytes, as a whole.
sub raw($zerod, $bytes)
{
    my $client = client($zerod);
    $client->send($bytes);
    return $client->read_raw(all => 1, timeout => 3);
}

# A poll, and that it was quick.
sub is_quick($zerod, $what)
{
    my $since = time;
    my $answer = client($zerod, keep_alive => 0)->get('/leader');
    is($answer->status, 200, "$what: a poll is answered");
    cmp_ok(time - $since, '<', QUICK_SECONDS, 'at once');
    return;
}

sub metric($zerod, $name)
{
    my ($value) = client($zerod)->get('/metrics')->body =~ /^\Q$name\E ([0-9.]+)$/m;
    return $value;
}

my $one = alone('one');
wait_health($one, '/active/Voting', qr/^200 0 is active, epoch 1$/);

subtest 'a node alone' => sub {
    is(health($one, '/leader'), '200 0 leads, term ' . $one->status->{term}, 'it leads');
    wait_health($one, '/ready', qr/^200 ready: map \d+, 0 leads$/);
    like(health($one, '/'), qr{^200 zerod 0 of Voting\n\n/  .*^/metrics  }ms, 'what there is is listed');
    like(health($one, '/nothing'), qr/^404 /, 'what there is not is not there');
    like(health($one, '/active/Shop'), qr/^404 /, 'nor is an application that nobody knows');
    is($one->order('app-set', app => 'Shop', single => \1), 'done ' . $one->status->{version}, 'which comes');
    wait_health($one, '/active/Shop', qr/^503 0 is without a replica of it, nobody has the lease$/);
    my $answer = client($one)->get('/leader?x=y');
    is($answer->header('Cache-Control'), 'no-store', 'no answer is to be kept');
    is($answer->header('Content-Type'), 'text/plain; charset=utf-8', 'all are text');
};

subtest 'metrics' => sub {
    my $answer = client($one)->get('/metrics');
    is($answer->header('Content-Type'), 'text/plain; version=0.0.4; charset=utf-8', 'the type says the format');
    is(metric($one, 'zerod_leads'), 1, 'it leads');
    $t->wait_for(sub { metric($one, 'zerod_map_written') == $one->status->{version} }, 10, 'the map on disk');
    pass('the map is on disk');
    is(metric($one, 'zerod_replica_role{role="active"}'), 1, 'its replica is active');
    cmp_ok(metric($one, 'zerod_lease_seconds_left'), '>', 2, 'with a lease');
    cmp_ok(metric($one, 'zerod_commands_total{end="done"}'), '>=', 6, 'commands are counted');
    my $runs = metric($one, 'zerod_script_runs_total{script="ensure-active",result="well"}');
    $t->wait_for(sub { metric($one, 'zerod_script_runs_total{script="ensure-active",result="well"}') > $runs }, 10, 'another run');
    cmp_ok(metric($one, 'zerod_script_seconds_total{script="ensure-active"}'), '>', 0, 'and so are the runs of scripts');
    cmp_ok(abs(metric($one, 'process_start_time_seconds') - $^T), '<', 60, 'it began when it did');
    cmp_ok(metric($one, 'process_resident_memory_bytes'), '>', 1 << 20, 'and has memory');
};

subtest 'HEAD, HTTP/1.0, keep-alive and pipelining' => sub {
    my $client = client($one);
    my $head = $client->head('/leader');
    is($head->status . $head->body, '200', 'HEAD has the status alone');
    is($head->header('Content-Length'), length($client->get('/leader')->body), 'and the length that GET has');
    is($client->get('/ready')->status, 200, 'a connection is kept') for 1 .. 3;
    is($client->retried, 0, 'the same one');
    like(raw($one, "GET /active/Voting HTTP/1.0\r\n\r\n"), qr{^HTTP/1.1 200 OK\r\n.*\r\nConnection: close\r\n\r\n0 is active}s, 'as HAProxy polls');
    like(raw($one, "GET /ready HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /leader HTTP/1.0\r\n\r\n"),
        qr{Connection: keep-alive\r\n\r\nready: .*Connection: close\r\n\r\n0 leads}s, 'HTTP/1.0 may be kept, too');
    like(raw($one, "GET /leader HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /ready HTTP/1.1\r\n"), qr/\r\nConnection: close\r\n\r\n0 leads, term 1\n\z/, 'close is honoured');
    my @paths = map {($_ % 3 == 0 ? '/leader' : $_ % 3 == 1 ? '/ready' : '/nothing')} 1 .. 300;
    my $all = raw($one, join('', map {"GET $_ HTTP/1.1\r\nHost: a\r\n\r\n"} @paths) . "GET / HTTP/1.0\r\n\r\n");
    my @statuses = $all =~ m{^HTTP/1.1 (\d+) }mg;
    is("@statuses", join(' ', (map {$_ eq '/nothing' ? 404 : 200} @paths), 200), '300 at once are answered in order');
    my $piecewise = client($one);
    $piecewise->send($_) for split //, "GET /leader HTTP/1.1\r\nHost: a\r\n\r\n";
    is($piecewise->read_response->status, 200, 'one that comes byte by byte');
};

subtest 'what is wrong is refused' => sub {
    my %cases = (
        "POST /leader HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na=b" => '405 Method Not Allowed',
        "DELETE / HTTP/1.0\r\n\r\n" => '405 Method Not Allowed',
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na=b" => '413 Content Too Large',
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" => '413 Content Too Large',
        "GET / HTTP/1.1\r\n\r\n" => '400 Bad Request',
        "GET / HTTP/1.1\nHost: a\n\n" => '400 Bad Request',
        "hello\r\n" => '400 Bad Request',
        "\x16\x03\x01\x02\x00" => '400 Bad Request',
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" => '505 HTTP Version Not Supported',
        "GET /leader HTTP/1.1\r\nHost: a\r\nx: " . 'y' x 20000 . "\r\n\r\n" => '431 Request Header Fields Too Large',
        'GET /' . 'y' x 20000 => '431 Request Header Fields Too Large',
    );
    for my $bytes (sort keys %cases) {
        my $answer = raw($one, $bytes);
        my @lines = $answer =~ m{^HTTP/1.1 (.*)\r$}mg;
        is("@lines", $cases{$bytes}, substr($bytes, 0, 40) =~ s/[^ -~]+/ /gr);
        like($answer, qr/^Connection: close\r$/m, 'and that is the end');
        like($answer, qr/^Allow: GET, HEAD\r$/m, 'with what there is') if $cases{$bytes} =~ /^405/;
    }
    my $long = "GET /leader HTTP/1.0\r\nx: ";
    my $bytes = $long . 'y' x (HEAD_BYTES - length("$long\r\n\r\n")) . "\r\n\r\n";
    like(raw($one, $bytes), qr{^HTTP/1.1 200 }, '8 KB are not too much');
    my $half = client($one);
    $half->send("GET /leader HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown $half->socket, 1;
    like($half->read_raw(all => 1), qr{^HTTP/1.1 200 }, 'who has said all that he will is answered');
    is_quick($one, 'after all that');
};

subtest 'who is slow is waited for 5 seconds' => sub {
    my ($silent, $slow) = map {client($one)} 1 .. 2;
    my $since = time;
    $silent->connect;
    $slow->send("GET /leader HTTP/1.1\r\n");
    my $n = 0;
    my $sent = sub {
        $slow->send('x: ' . $n++ . "\r\n");
        return $slow->closed(0.2);
    };
    $t->wait_for($sent, 2 * SEND_SECONDS, 'the end of the slow one');
    cmp_ok(time - $since, '>', SEND_SECONDS - 1, 'not less');
    cmp_ok($n, '>', 5, 'and not longer because of what comes');
    ok($silent->closed(2), 'nor is one that says nothing');
    my $taker = client($one);
    $taker->send(join '', ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n") x 100) for 1 .. 40;
    is_quick($one, 'while somebody does not take his answers');
};

subtest '200 connections' => sub {
    my @all = map {client($one)} 1 .. 200;
    for my $client (@all[0 .. 99]) {
        $client->get('/ready');
    }
    $_->send("GET /leader HTTP/1.1\r\n") for @all[100 .. 199];
    is_quick($one, 'while 200 have called');
    my @open = grep {!$_->closed(0)} @all;
    cmp_ok(@open + 0, '<=', CONNECTIONS, 'some of them were sent away');
    cmp_ok(@open + 0, '>=', CONNECTIONS - 2, 'no more than had to');
    is($open[0], $all[200 - @open], 'those that had been there longest');
    $_->send("Host: a\r\n\r\n") for @open;
    is(scalar(grep {$_->read_response->status == 200} @open), scalar @open, 'the others are answered');
    my ($idle, @busy) = map {client($one)} 1 .. CONNECTIONS;
    $_->send("GET /leader HTTP/1.1\r\n") for @busy;
    $idle->get('/ready');
    is_quick($one, 'one more than there may be');
    ok($idle->closed(1), 'the idle one goes');
    ok(!$busy[-1]->closed(0), 'and not those that are being served');
};
is($one->stop, 0, 'it ends with connections');

subtest 'a leader is killed' => sub {
    my @all = with_http(HA::Zerod->cluster($t, 'three', start => 0));
    $_->launch for @all;
    my $leader = HA::Zerod::leader_of(@all);
    my @rest = grep {$_ != $leader} @all;
    is(good('/leader', @all), $leader->{id}, 'one leads');
    wait_health($_, '/leader', qr/^503 $leader->{id} leads$/) for @rest;
    wait_health($_, '/ready', qr/^200 ready: map \d+, $leader->{id} leads$/) for @all;
    $t->wait_for(sub { good('/active/Voting', @all) =~ /^\d$/ }, 20, 'an active one');
    my $active = good('/active/Voting', @all);
    for my $zerod (grep {$_->{id} ne $active} @all) {
        like(health($zerod, '/active/Voting'), qr/^503 $zerod->{id} is \w+, $active has the lease$/, "$zerod->{name} is not, and says who is");
    }
    $t->wait_for(sub { metric($leader, 'zerod_peers_present') == 2 }, 10, 'two peers');
    is(metric($rest[0], 'zerod_peers_present'), undef, 'a leader alone counts them');

    $leader->kill;
    my $next;
    $t->wait_for(sub { $next = good('/leader', @rest); $next =~ /^\d$/ }, 20, 'another leader');
    isnt($next, $leader->{id}, 'it is killed, and another one leads');
    wait_health($_, '/ready', qr/^200 ready: map \d+, $next leads$/) for @rest;
    $t->wait_for(sub { (my $now = good('/active/Voting', @rest)) =~ /^\d$/ }, 20, 'an active one of those that are left');

    my ($last, $lost) = @rest;
    $lost->kill;
    wait_health($last, '/leader', qr/^503 no leader is heard$/);
    wait_health($last, '/ready', qr/^503 not ready: no leader is heard$/);
    wait_health($last, '/active/Voting', qr/^503 /);
    $leader->launch;
    $t->wait_for(sub { good('/leader', $leader, $last) =~ /^\d$/ }, 20, 'a leader again');
    $_->stop for $leader, $last;
};

subtest 'one that was stopped does not answer for what it was' => sub {
    my @all = with_http(HA::Zerod->cluster($t, 'asleep', start => 0));
    $_->launch for @all;
    my $leader = HA::Zerod::leader_of(@all);
    my @rest = grep {$_ != $leader} @all;
    $t->wait_for(sub { good('/leader', $leader) ne '' }, 10, 'its answer');
    my @polls = map {client($leader)} 1 .. 2;
    $_->get('/leader') for @polls;
    $t->signal($leader->{pid}, 'STOP');
    $t->wait_stopped($leader->{pid});
    $polls[0]->send($polls[0]->format_request(GET => '/leader'));
    $polls[1]->send($polls[1]->format_request(GET => '/active/Voting'));
    $t->wait_for(sub { good('/leader', @rest) ne '' }, 20, 'another leader');
    $t->wait_for(sub { good('/active/Voting', @rest) ne '' }, 20, 'and an active one');
    $t->signal($leader->{pid}, 'CONT');
    is($_->read_response->status, 503, 'what was asked meanwhile is answered as it is now') for @polls;
    $_->stop for @all;
};

subtest 'an address that is taken is said' => sub {
    my $first = alone('first');
    my $second = HA::Zerod->new($t, 'second', config => {nodes => {0 => {address => '127.0.0.1:' . $t->port, http => "127.0.0.1:$first->{http}"}}}, start => 0);
    my ($code, $said) = $second->refusal;
    is($code, 1, 'it is refused');
    like($said, qr/127\.0\.0\.1:$first->{http}: cannot be listened at for HTTP: address already in use/, 'in a sentence');
    is($first->stop, 0, 'and the other one goes on');
};

$t->done;
