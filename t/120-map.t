# SPDX-License-Identifier: Apache-2.0
# The proxies follow the cluster's map: members come, move, are drained and go, without a restart,
# on both paths and in all children, while clients notice nothing.
use v5.36;

use HA::Log;
use HA::Map;
use HA::Mount qw(balancer bound children faster);
use HA::Test;

my $t = HA::Test->new;
my %app = map {$_ => $t->app("host$_", ledger => 1)} qw(A B C D);
my %common = (
    modules => [qw(proxy proxy_http)],
    haproxy => 1,
    log_level => 'info haproxy:debug',
);
my $health = qq(<Location "/ha-health">\nSetHandler ha-health\n</Location>\n);

sub config($map, $lane, %opt)
{
    return join "\n", 'HAMap ' . $map->path, "HALane $lane", $health, balancer('App', [@app{qw(A B)}], %opt), '';
}

sub members(@names)
{
    return map {ref $_ ? $_ : HA::Map::member($app{$_})} @names;
}

# A member of this route at the address of another instance.
sub moved($route, $to, %opt)
{
    return {route => "host$route", url => $app{$to}->url, %opt};
}

for my $lane (qw(Off Require)) {
    my $map = HA::Map->new($t->dir("map-$lane"));
    my $server = $t->httpd(%common, name => "lane-$lane", config => config($map, $lane));
    my $client = sub (%opt) { $t->client(port => $server->port, cookies => 0, %opt) };
    my $shares = sub ($count, @more) { spread($client->(), '/App/plain', $count, @more) };
    my $follow = sub (@rows) {
        $map->next(App => {members => [members(@rows)]});
        $map->await($t, $server);
    };
    $t->expect_log(qr/AH(?:00957|01114)|failed on \S+: no connection/);
    $t->expect_log(qr/HAMap \S+: not taken: cannot be read: No such file or directory; members are as configured/);
    my $usable = sub { $client->()->get('/ha-health/App')->body };

    subtest "lane $lane: the configured members are there without a map" => sub {
        is($shares->(4), 'hostA:2 hostB:2', 'and serve');
        $t->wait_for(qr/HAMap \S+: not taken/);
        is($server->log->count(qr/HAMap \S+: not taken/), 1, 'that there is none is said once, by all children');
    };

    subtest "lane $lane: a member is added" => sub {
        $follow->(qw(A B C));
        $t->wait_for(qr/App: member hostC: added by map 1, \Q${\$app{C}->url}\E$/);
        $t->wait_for(qr/HAMap \S+: map 1 of cluster 0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0 is in force/);
        is($shares->(6), 'hostA:2 hostB:2 hostC:2', 'and serves, in each child');
        is($shares->(3, bound('hostC')), 'hostC:3', 'and keeps its sessions');
        like($usable->(), qr/^usable 3 of 3, open to new sessions 3/, 'and is counted');
        is($server->log->count(qr/added by map/), 1, 'which is said once');
        is($server->log->count(qr/HAMap \S+: can be used now/), 1, 'as is that there is a map');
    };

    subtest "lane $lane: what it says of itself is mapped as of others" => sub {
        my $url = $app{C}->url;
        $app{C}->raw('close', "HTTP/1.1 302 Found\r\nLocation: $url/App/there\r\nContent-Length: 0\r\n\r\n", 1);
        my $answer = $client->()->get('/App/plain', bound('hostC'));
        is($answer->header('Location'), 'http://localhost/App/there', 'Location');
        $app{C}->raw('close', "HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/App/there\r\nContent-Length: 0\r\n\r\n", 1);
        $answer = $client->()->get('/App/plain', bound('hostC'));
        is($answer->header('Location'), 'http://elsewhere.example/App/there', 'that of others is not');
    };

    subtest "lane $lane: weights" => sub {
        $follow->('A', 'B', moved('C', 'C', weight => 3));
        $t->wait_for(qr/App: member hostC: weight 1 -> 3, by map 2/);
        is($shares->(10), 'hostA:2 hostB:2 hostC:6', 'count');
    };

    subtest "lane $lane: a drain moves no session" => sub {
        $follow->('A', 'B', moved('C', 'C', admin => 'drain'));
        $t->wait_for(qr/App: member hostC: enabled -> drain, by map 3/);
        is($shares->(4), 'hostA:2 hostB:2', 'no new ones');
        is($shares->(3, bound('hostC')), 'hostC:3', 'the old ones stay');
        like($usable->(), qr/^usable 3 of 3, open to new sessions 2/, 'ha-health knows');
    };

    subtest "lane $lane: standby and maint" => sub {
        $follow->(moved('A', 'A', admin => 'standby'), 'B', moved('C', 'C', admin => 'maint'));
        is($shares->(4), 'hostB:4', 'take nothing');
        is($shares->(2, bound('hostA')), 'hostA:2', 'standby keeps its own');
        unlike($shares->(2, bound('hostC')), qr/hostC/, 'maint does not');
        $follow->(qw(A B C));
        is($shares->(6), 'hostA:2 hostB:2 hostC:2', 'until they are enabled again');
    };

    subtest "lane $lane: a member moves" => sub {
        my $before = $app{D}->count->{requests};
        $follow->('A', 'B', moved('C', 'D'));
        $t->wait_for(qr/App: member hostC: moved by map 6, \S+ -> \Q${\$app{D}->url}\E/);
        is($shares->(3, bound('hostC')), 'hostD:3', 'its sessions go where it is');
        $follow->(moved('A', 'D'), 'B');
        is($shares->(3, bound('hostA')), 'hostD:3', 'a configured one likewise');
        $follow->('A', 'B');
        is($shares->(3, bound('hostA')), 'hostA:3', 'and back');
    };

    subtest "lane $lane: a member is removed" => sub {
        $follow->(qw(A B C));
        $app{C}->barrier_hold;
        my $busy = $client->();
        $busy->send($busy->format_request(GET => '/App/plain', bound('hostC')));
        $app{C}->barrier_wait(1);
        $follow->('A', 'B');
        $t->wait_for(qr/App: member hostC: removed by map 10/);
        is($shares->(4), 'hostA:2 hostB:2', 'it gets nothing');
        my $answer = $client->()->get('/App/plain', bound('hostC'));
        like($answer->instance, qr/^host[AB]$/, 'its sessions fail over');
        like($answer->header('Set-Cookie') // '', qr/^zsessionid=session1\.host[AB];/, 'with a cookie that says so');
        $app{C}->barrier_open;
        is($busy->read_response->instance, 'hostC', 'what was under way is finished');
        like($usable->(), qr/^usable 2 of 2/, 'it is not counted');
        is($shares->(2, bound('hostA')), 'hostA:2', 'no other session moves');
    };

    subtest "lane $lane: the last member that can be used is not taken out" => sub {
        $follow->(qw(A B C));
        $app{$_}->stop for qw(A B);
        $t->wait_for(qr/App: member host$_: \w+ -> down/) for qw(A B);
        $map->next;
        $map->await($t, $server);
        $t->wait_for(qr/App: member hostC: not removed by map 12: no other member can be used/);
        is($shares->(2), 'hostC:2', 'it serves on');
        $app{$_}->start for qw(A B);
        $t->wait_for(qr/App: member hostC: removed by map 12/);
        $t->wait_for(sub { $shares->(4) eq 'hostA:2 hostB:2' });
        is($server->log->count(qr/hostC: removed by map 12/), 1, 'until others can be used');
    };

    subtest "lane $lane: without the application, all is as configured" => sub {
        $follow->(moved('A', 'D'), 'C');
        $map->next;
        $map->await($t, $server);
        is($shares->(4), 'hostA:2 hostB:2', 'the floor');
    };

    subtest "lane $lane: a graceful restart" => sub {
        $follow->(qw(A B C));
        $app{C}->barrier_hold;
        my $busy = $client->();
        $busy->send($busy->format_request(GET => '/App/plain', bound('hostC')));
        $app{C}->barrier_wait(1);
        $server->graceful;
        $app{C}->barrier_open;
        is($busy->read_response->instance, 'hostC', 'loses nothing');
        $server->settle;
        is($shares->(6), 'hostA:2 hostB:2 hostC:2', 'and knows the members of the map at once');
        is($server->log->count(qr/hostC: added by map 15/), 1, 'and says nothing that was said');
    };
    $server->stop;
}

# --- the other MPMs, and many changes under load ---------------------------------------------------

for my $mpm (qw(worker prefork)) {
    my $map = HA::Map->new($t->dir("map-$mpm"));
    $map->next;
    my $server = $t->httpd(%common, name => $mpm, mpm => $mpm, config => config($map, 'On'));
    my $shares = sub ($count) { spread($t->client(port => $server->port, cookies => 0), '/App/plain', $count) };
    subtest "$mpm: all children follow" => sub {
        $map->next(App => {members => [members(qw(A B C))]});
        $map->await($t, $server);
        is($shares->(6), 'hostA:2 hostB:2 hostC:2', 'a member that is added');
        $server->graceful;
        is($shares->(6), 'hostA:2 hostB:2 hostC:2', 'also after a graceful restart');
        $server->settle;
        $map->next(App => {members => [members('A', moved('B', 'D'))]});
        $map->await($t, $server);
        is($shares->(4), 'hostA:2 hostD:2', 'one that moves, and one that is removed');
    };
    $server->stop;
}

# All that a client has sent has been read from its connection.
sub was_read($client)
{
    my $from = sprintf '%08X:%04X', unpack('V', $client->socket->sockaddr), $client->socket->sockport;
    my @rows = grep {/^ *\d+: \S+ $from /} split /^/, HA::Log->new('/proc/net/tcp')->text;
    return @rows && !grep {(split ' ')[4] !~ /:0+$/} @rows;
}

# So that no child comes but by a restart.
my %enough = (
    worker => children(2, 16) =~ s/MaxRequestWorkers \d+/MaxRequestWorkers 128/r =~ s/MaxSpareThreads \d+/MaxSpareThreads 128/r,
    prefork => "StartServers 16\nServerLimit 64\nMaxRequestWorkers 64\nMinSpareServers 1\nMaxSpareServers 64\n",
);

# Whose a connection is is in the access log: PID PATH. One with a part of a request is the old
# child's after a graceful restart, until that is answered; idle ones are closed or passed on.
for my $mpm (qw(worker prefork)) {
    for my $lane (qw(Off Require)) {
        my $name = "old-$mpm-$lane";
        my $map = HA::Map->new($t->dir("map-$name"));
        $map->next;
        my $server = $t->httpd(
            %common, name => $name, mpm => $mpm, mpm_config => $enough{$mpm},
            config => config($map, $lane) . qq(KeepAliveTimeout 60\nLogFormat "%P %U%q" child\nCustomLog logs/access child\n)
        );
        my $access = HA::Log->new($server->root . '/logs/access');
        my $child_of = sub ($path) {
            my $line = qr/^(\d+) \Q$path\E$/;
            $t->wait_for(sub { $access->count($line) }, 10, "$path in the access log");
            return (map {$_ =~ $line} @{$access->lines})[0];
        };
        subtest "$mpm, lane $lane: old generations follow, too" => sub {
            $map->await($t, $server);
            my @kept = map {$t->client(port => $server->port, cookies => 0, retry => 0)} 1 .. 6;
            $kept[$_]->get("/App/plain?before=$_") for 0 .. $#kept;
            my @pids = map {$child_of->("/App/plain?before=$_")} 0 .. $#kept;
            my @next = map {[$kept[$_]->format_request(GET => "/App/plain?after=$_") =~ /^(.*?\r\n)(.*)/s]} 0 .. $#kept;
            $kept[$_]->send($next[$_][0]) for 0 .. $#kept;
            $t->wait_for(sub { !grep {!was_read($_)} @kept }, 10, 'the first lines to be read');
            $app{A}->barrier_hold;
            my $busy = $t->client(port => $server->port, cookies => 0);
            $busy->send($busy->format_request(GET => '/App/plain?busy', bound('hostA')));
            $app{A}->barrier_wait(1);
            my %old = map {$_ => 1} $server->children;
            $server->graceful;
            $t->wait_for(sub { $server->new_children }, 10, 'a new child');
            $map->next(App => {members => [members(moved('A', 'A', admin => 'drain'), moved('B', 'D'), 'C')]});
            $map->await($t, $server);
            my $follow = sub { map {/\[pid (\d+)[:\]].*HAMap: this child follows map 2$/ ? $1 : ()} @{$server->log->lines} };
            ok((grep {$old{$_}} $follow->()), 'a child of before says that it follows the map');
            ok($t->wait_for(sub { grep {!$old{$_}} $follow->() }), 'and so does one of now');
            my %by;
            $kept[$_]->send($next[$_][1]) for 0 .. $#kept;
            $by{$_->read_response->instance // 'nobody'}++ for @kept;
            is(join(' ', sort keys %by), 'hostC hostD', 'connections of before get the new members, and only those');
            is_deeply([map {$child_of->("/App/plain?after=$_")} 0 .. $#kept], \@pids, 'from the child that had them before');
            is(spread($t->client(port => $server->port, cookies => 0), '/App/plain', 4), 'hostC:2 hostD:2', 'as new ones do');
            $app{A}->barrier_open;
            is($busy->read_response->instance, 'hostA', 'what was under way is finished');
            ok($old{$child_of->('/App/plain?busy')}, 'by a child of before');
            $server->settle;
            is(scalar(grep {$old{$_}} $server->children), 0, 'which ends then');
        };
        $server->stop;
    }
}

for my $lane (qw(Off Require)) {
    my $map = HA::Map->new($t->dir("map-load-$lane"));
    $map->next;
    my $server = $t->httpd(%common, log_level => 'info', name => "load-$lane", config => config($map, $lane));
    subtest "lane $lane: changes under load" => sub {
        my $load = $t->load(port => $server->port, path => '/App/plain', rate => faster(500, 100), count => 100_000, retry => 0);
        my @sets = ([qw(A B C)], [qw(A B C D)], ['A', moved('B', 'D')], ['A'], [], [moved('A', 'B'), moved('C', 'A'), 'D']);
        for my $n (0 .. 59) {
            $map->next(App => {members => [members(@{$sets[$n % @sets]})]});
            $load->wait_progress($load->progress + 5);
        }
        $load->finish;
        my $result = $load->wait;
        is($result->{failed}, 0, "no request of $result->{sent} fails") or diag explain $result->{failures};
    };
    $server->stop;
}

$t->done;
