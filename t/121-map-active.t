# SPDX-License-Identifier: Apache-2.0
# Active-passive applications: only the member that the map calls active gets requests, with the
# epoch as its fence. While nobody is, and when the active one dies, requests wait, and none fails.
use v5.36;

use IO::Select;

use HA::Map;
use HA::Mount qw(balancer bound children faster);
use HA::Test;

my $t = HA::Test->new;
my %app = map {$_ => $t->app("host$_", ledger => 1)} qw(A B C);
my %common = (
    modules => [qw(proxy proxy_http)],
    haproxy => 1,
    log_level => 'info haproxy:debug',
    mpm_config => children(2, 50),
);
my $health = qq(<Location "/ha-health">\nSetHandler ha-health\n</Location>\n);

# What is said of an active member that has died.
$t->expect_log(qr/AH(?:00957|01114)|member host\w failed on \S+: (?:no connection|ended before its answer)/);
$t->expect_log(qr/no member for \S+: no member (?:is active|can be used)/);

for my $lane (qw(Off Require)) {
    my $map = HA::Map->new($t->dir("map-$lane"));
    my $active = sub ($name, $epoch) {
        my @members = map {HA::Map::member($app{$_})} qw(A B C);
        my $route = $name ? "host$name" : undef;
        return $map->next(map {$_ => {members => \@members, active => $route, epoch => $epoch}} qw(App Now Zone));
    };
    $active->('A', 7);
    my $server = $t->httpd(
        %common,
        name => "lane-$lane",
        config => join "\n", 'HAMap ' . $map->path, "HALane $lane", $health,
        balancer('App', [@app{qw(A B)}], ours => 'queue=1000 queue-timeout=20s'),
        balancer('Now', [@app{qw(A B)}], ours => 'failover=strict'),
        balancer('Zone', [@app{qw(A B)}]), 'HAZone Zone zone=USER store=shm', ''
    );
    my $client = sub (%opt) { $t->client(port => $server->port, cookies => 0, retry => 0, %opt) };
    my $shares = sub ($count, @more) { spread($client->(), '/App/plain', $count, @more) };
    my $switch = sub ($name, $epoch) { $active->($name, $epoch); $map->await($t, $server) };
    my $fence = sub (%opt) { join ',', $client->()->get('/App/echo', %opt)->body =~ /^HA-Fence: *(.*?)\r?$/mig };

    subtest "lane $lane: only the active member gets requests" => sub {
        is($shares->(4), 'hostA:4', 'of the configuration');
        my $answer = $client->()->get('/App/plain', bound('hostB'));
        is($answer->instance, 'hostA', 'whatever the cookie says');
        like($answer->header('Set-Cookie') // '', qr/^zsessionid=session1\.hostA;/, 'which is rewritten');
        is(spread($client->(), '/Now/plain', 2, bound('hostB')), 'hostA:2', 'strict sessions as well');
        is($fence->(), '7', 'with its epoch');
        is($fence->(headers => {'HA-Fence' => 99, 'ha_fence' => 98}), '7', 'and not with what clients say');
        is($client->()->get('/ha-health/App')->body, "usable 1 of 3, open to new sessions 1, in flight 0\n", 'ha-health');
        $switch->('C', 8);
        is($shares->(4), 'hostC:4', 'nor only of the configuration');
        $t->wait_for(qr/App: active: hostA -> hostC, epoch 8, by map 2/);
        is($fence->(), '8', 'its epoch');
        $switch->('A', 9);
        is($fence->(bound('hostC')), '9', 'and back');
    };

    subtest "lane $lane: with a zone, HA-Fence is the session's" => sub {
        my $fields = sub (%opt) { join ',', $client->()->get('/Zone/echo', %opt)->body =~ /^(HA-Fence[^\r\n]*)/mig };
        is($fields->(), 'HA-Fence-App: 9', 'of the application it has another name');
        is($fields->(bound('hostB'), headers => {Cookie => 'zsessionid=s2.hostB', 'HA-Fence-App' => 98}), 'HA-Fence-App: 9', 'which no client can send');
    };

    subtest "lane $lane: while nobody is active" => sub {
        $switch->(undef, 9);
        $t->wait_for(qr/App: active: hostA -> nobody, epoch 9, by map 4/);
        is($client->()->get('/Now/plain')->status, 503, 'without a queue the answer is 503');
        my @waiting = map {$client->(timeout => 15)} 1 .. 60;
        my @how = (['GET', undef], ['POST', 'x' x 5000], ['PUT', 'y' x 60_000]);
        for my $n (0 .. $#waiting) {
            my ($method, $body) = @{$how[$n % 3]};
            my %body = defined $body ? (body => $body) : ();
            $waiting[$n]->send($waiting[$n]->format_request($method, $method eq 'GET' ? '/App/plain' : '/App/upload', %body));
        }
        ok(!IO::Select->new(map {$_->socket} @waiting)->can_read(0.3), 'with one nobody is answered');
        $switch->('B', 10);
        my %got;
        for my $n (0 .. $#waiting) {
            my $answer = $waiting[$n]->read_response($how[$n % 3][0]);
            $got{$answer->status . ' ' . ($answer->instance // '-')}++;
        }
        is_deeply(\%got, {'200 hostB' => 60}, 'before there is one');
    };

    subtest "lane $lane: the active member dies, and another one takes over" => sub {
        $switch->('A', 11);
        my $load = $t->load(port => $server->port, path => '/App/plain', rate => faster(300, 100), count => 100_000, retry => 0, timeout => 20);
        $load->wait_progress(60);
        # What the standard path has sent it does not send again; the lane does.
        my @clients = map {$_->{pid}} @{$load->{workers}};
        $t->signal($_, 'STOP') for $lane eq 'Off' ? @clients : ();
        $t->wait_for(sub { $lane ne 'Off' || $client->()->get('/ha-health/App')->body =~ /in flight 0$/ });
        $app{A}->kill;
        $t->signal($_, 'CONT') for $lane eq 'Off' ? @clients : ();
        $t->wait_for(qr/App: member hostA: up -> down|App: member hostA: \w+, now suspect/);
        $switch->(undef, 11);
        $switch->('B', 12);
        $load->wait_progress($load->progress + 60);
        $load->finish;
        my $result = $load->wait;
        is($result->{failed}, 0, "no request of $result->{sent} fails") or diag explain $result->{failures};
        ok($result->{instances}{hostB}, 'hostB has served');
        $app{A}->start;
        $app{B}->kill;
        my @waiting = map {$client->(timeout => 15)} 1 .. 20;
        $_->send($_->format_request(GET => '/App/plain')) for @waiting;
        ok(!IO::Select->new(map {$_->socket} @waiting)->can_read(0.3), 'the active one is dead again');
        $app{B}->start;
        is(join(' ', map {$_->read_response->instance // '-'} @waiting), join(' ', ('hostB') x 20), 'and back, and all are served');
        $switch->('A', 13);
        is($shares->(2), 'hostA:2', 'what was known of it does not count when it is active again');
    };

    subtest "lane $lane: the active members refuse connections, one after the other" => sub {
        $_->kill for @app{qw(A B C)};
        my @waiting = map {$client->(timeout => 15)} 1 .. 10;
        $_->send($_->format_request(GET => '/App/plain')) for @waiting;
        my $epoch = 13;
        for (1 .. 3) {
            $switch->($_, ++$epoch) for qw(B C A);
        }
        ok(!IO::Select->new(map {$_->socket} @waiting)->can_read(0.3), 'more often than a request is tried elsewhere, and all wait');
        $app{B}->start;
        $switch->('B', ++$epoch);
        is(join(' ', map {$_->read_response->instance // '-'} @waiting), join(' ', ('hostB') x 10), 'and are served by the one that does not');
        $_->start for @app{qw(A C)};
    };
}

$t->done;
