# SPDX-License-Identifier: Apache-2.0
# Instances die, hang and misbehave; clients see as little of it as can be, and nothing twice.
use v5.36;

use Time::HiRes qw(time);

use HA::Test;

my $t = HA::Test->new;
my ($a, $b, $c, $d, $e) = map {$t->app("host$_")} qw(A B C D E);
my %url = (hostA => $a->url, hostB => $b->url, hostC => $c->url, hostD => $d->url, hostE => $e->url,
    hostX => 'http://127.0.0.1:' . $t->port);

# A balancer mounted at /NAME; `ours` and `check` are the arguments of HABalancer and HACheck.
sub balancer($name, $members, %opt)
{
    my @members = map {qq(BalancerMember "$url{$_}" route=$_)} @$members;
    my $check = $opt{check} // 'interval=100ms';
    return join "\n", qq(<Proxy "balancer://$name">), @members,
        'ProxySet stickysession=zsessionid ' . ($opt{set} // ''), '</Proxy>',
        "HABalancer $name " . ($opt{ours} // ''), "HACheck $name uri=/App/health $check",
        qq(ProxyPass "/$name" "balancer://$name/App"), '';
}

my $health = qq(<Location "/ha-health">\nSetHandler ha-health\n</Location>\n);
my @cd = (['hostC', 'hostD']);
my %common = (modules => [qw(proxy proxy_http)], haproxy => 1);
my $loaded = $t->httpd(%common, config => $health . balancer('App', ['hostA', 'hostB'], check => ''));
my $proxy = $t->httpd(
    %common,
    config => join '', $health,
    balancer('post', ['hostX', 'hostD']),
    balancer('dies', @cd, check => ''),
    balancer('hangs', @cd, check => ''),
    balancer('errors', @cd),
    balancer('failures', @cd),
    balancer('status', @cd, check => 'interval=1h'),
    balancer('failon', @cd, check => 'interval=1h', set => 'failonstatus=500,503'),
    balancer('single', ['hostC'], check => 'interval=1s timeout=5s fall=100'),
    balancer('gone', ['hostX']),
    balancer('ramp', ['hostD', 'hostE'], ours => 'slow-start=4s'),
);
my $port = $proxy->port;

# What mod_proxy says of a member that does not answer.
$t->expect_log(qr/AH(?:00957|01114|01102|00898|01110|10404|01106|01095|01097|01068)/);
$t->expect_log(qr/no member for \S+: no member can be used/);

sub client(%opt)
{
    return $t->client(port => $port, cookies => 0, %opt);
}

sub to($route)
{
    return (headers => {Cookie => "zsessionid=session1.$route"});
}

sub shares($path, $count, @more)
{
    return spread(client(), $path, $count, @more);
}

sub usable($server, $app)
{
    return $t->client(port => $server->port)->get("/ha-health/$app")->body;
}

# Seconds until the log has a line.
sub seconds_until($pattern)
{
    my $begin = time;
    $t->wait_for($pattern);
    return time - $begin;
}

# --- a load that runs while everything below happens ----------------------------------------------

$t->wait_for(qr/App: member $_: unknown -> up, status 200/) for qw(hostA hostB);
my $load = $t->load(port => $loaded->port, path => '/App/plain', rate => 200, count => 5000);
$load->wait_progress(100);

# Kills an instance when no request is in flight to it: the clients stand still for that moment, and
# then make up for it all at once.
sub kill_between_requests($name)
{
    my @clients = map {$_->{pid}} @{$load->{workers}};
    $t->signal($_, 'STOP') for @clients;
    $t->wait_for(sub { usable($loaded, 'App') =~ /in flight 0$/ });
    $t->kill($name);
    $t->signal($_, 'CONT') for @clients;
    return;
}

subtest 'a killed instance is out at once and back soon' => sub {
    for my $name (qw(hostA hostB)) {
        my $connects = qr/AH00957: .*attempt to connect to \Q${\$t->app($name)->address}\E/;
        kill_between_requests($name);
        cmp_ok(seconds_until(qr/App: member $name: up, now suspect, no connection$/), '<', 1,
            "$name: suspect by the first request");
        cmp_ok(seconds_until(qr/App: member $name: up -> down, connect refused, 3 of 3 probes failed/),
            '<', 2, "$name: down");
        cmp_ok($loaded->log->count($connects), '<=', 40, "$name: few requests met it");
        my $met = $loaded->log->count($connects);
        my $more = $load->progress + 50;
        $load->wait_progress($more);
        is($loaded->log->count($connects), $met, "$name: none since");
        is(usable($loaded, 'App') =~ s/, open.*//sr, 'usable 1 of 2', "$name: ha-health knows");
        $t->start($name);
        cmp_ok(seconds_until(qr/App: member $name: down -> up, status 200, 2 of 2 probes succeeded/),
            '<', 2, "$name: back");
        my $before = $t->app($name)->count->{requests};
        ok($t->wait_for(sub { $t->app($name)->count->{requests} > $before + 10 }), "$name: serves again");
    }
};

# --- meanwhile ------------------------------------------------------------------------------------

subtest 'an instance that stops is missed by nobody' => sub {
    is(shares('/dies/plain', 4), 'hostC:2 hostD:2', 'both serve');
    $c->stop;
    is(shares('/dies/plain', 6), 'hostD:6', 'the other one serves');
    $c->start;
    cmp_ok(seconds_until(qr/dies: member hostC: (?:\w+ -> up|up, no longer suspect)/), '<', 2, 'back');
    ok($t->wait_for(sub { shares('/dies/plain', 4) eq 'hostC:2 hostD:2' }), 'both serve');
};

subtest 'an instance that hangs is out within 3 s and back within 2 s' => sub {
    $t->wait_for(sub { usable($proxy, 'hangs') =~ /^usable 2/ });
    $t->mark;
    $c->pause;
    my @stuck = map {client()} 1 .. 3;
    $_->send($_->format_request(GET => '/hangs/plain', to('hostC'))) for @stuck;
    cmp_ok(seconds_until(qr/hangs: member hostC: up -> down, no answer within 500 ms, 3 of 3/), '<', 3, 'out');
    is(shares('/hangs/plain', 6), 'hostD:6', 'the other one serves');
    $c->resume;
    is(join(' ', map {$_->read_response->status} @stuck), '200 200 200', 'those that waited are answered');
    cmp_ok(seconds_until(qr/hangs: member hostC: down -> up, status 200, 2 of 2/), '<', 2, 'back');
};

# How the ledgers of both saw the requests of a tag.
sub seen($tag)
{
    my @lines;
    for my $app ($c, $d) {
        push @lines, map {$app->name . " $_->{method} $_->{length}"} grep {$_->{tag} eq $tag} $app->ledger;
    }
    return join ', ', @lines;
}

subtest 'a POST to an instance that is gone reaches another, once' => sub {
    my $n = 0;
    for my $size (0, 5, 20_000, 300_000) {
        for my $chunked (0, 1) {
            my $tag = 'order' . ++$n;
            my $body = HA::Client::content($size);
            my @body = $chunked ? (chunks => [unpack '(a7000)*', $body]) : (body => $body);
            my $answer = client()->request(
                POST => '/post/upload', @body,
                headers => {Cookie => 'zsessionid=s.hostX', 'X-Request-Tag' => $tag}
            );
            my $how = $chunked ? 'in chunks' : 'with a length';
            is($answer->status . ' ' . seen($tag), "200 hostD POST $size", "$size bytes $how");
        }
    }
};

subtest 'a request that was sent is never sent again' => sub {
    my $n = 0;
    for my $method (qw(GET POST)) {
        for my $where (qw(before head body)) {
            for my $kept (0, 1) {
                my $tag = 'sent' . ++$n;
                my $client = client(retry => 0);
                $client->get('/errors/plain', to('hostC')) if $kept;
                $c->reset($where, 1);
                my %body = $method eq 'POST' ? (body => 'x' x 1000) : ();
                my $path = $where eq 'body' ? '/errors/bytes?n=500000' : '/errors/upload';
                $path = '/errors/plain' if $method eq 'GET' && $where ne 'body';
                my $answer = $client->request($method => $path, %body,
                    headers => {Cookie => 'zsessionid=s.hostC', 'X-Request-Tag' => $tag});
                my $bad = $answer->error || $answer->status == 502;
                my $length = $method eq 'POST' ? 1000 : 0;
                is(seen($tag), "hostC $method $length", "$method, reset $where: seen once");
                ok($bad, "$method, reset $where: 502 or a cut answer") or diag explain $answer;
                is(client()->get('/errors/plain', to('hostC'))->status, 200, 'and the next one is served');
            }
        }
    }
};

subtest 'three failures in a row make an instance suspect, a probe clears it' => sub {
    $t->mark;
    $c->reset('head', 3);
    my $client = client();
    for my $failure (1 .. 3) {
        is($client->get('/failures/plain', to('hostC'))->status, 502, "failure $failure");
        # A health page that works does not make up for requests that fail.
        my $probes = $c->count->{health};
        $t->wait_for(sub { $c->count->{health} > $probes + 20 }) if $failure < 3;
    }
    ok($t->wait_for(qr/failures: member hostC: up, now suspect, requests failed$/), 'suspect');
    ok($t->wait_for(qr/failures: member hostC: up, no longer suspect, status 200, 1 of 1/), 'no longer');
    is($client->get('/failures/plain', to('hostC'))->instance, 'hostC', 'and serves its sessions');
};

subtest 'a request that is not answered in time is a failure, or trouble at once' => sub {
    my $server = $t->httpd(
        %common,
        config => join '', "ProxyTimeout 1\n",
        balancer('patient', @cd, check => 'interval=1h'),
        balancer('quick', @cd, check => 'interval=1h', set => 'failontimeout=On'),
    );
    my $ask = sub ($path) { $t->client(port => $server->port, cookies => 0)->get($path, to('hostC'))->status };
    $c->hang;
    is($ask->('/patient/plain'), 502, 'failontimeout=Off: refused');
    is($ask->('/quick/plain'), 502, 'failontimeout=On: refused');
    ok($t->wait_for(qr/quick: member hostC: \w+, now suspect, request timed out$/), 'and suspected');
    ok($t->wait_for(qr/quick: member hostC: .*status 200/), 'until a probe has passed');
    is($server->log->count(qr/patient: member hostC: .*suspect/), 0, 'one is not enough without it');
    is($ask->('/patient/plain'), 502, 'but three are') for 2 .. 3;
    ok($t->wait_for(qr/patient: member hostC: \w+, now suspect, requests failed$/), 'as for other failures');
    $c->release;
    $server->stop;
};

subtest 'an error of the application counts if failonstatus= names it' => sub {
    $c->status(500, 3);
    my $client = client();
    is($client->get('/status/plain', to('hostC'))->status, 500, 'passed on') for 1 .. 3;
    $c->status(500, 3);
    is($client->get('/failon/plain', to('hostC'))->status, 500, 'failonstatus=: passed on') for 1 .. 3;
    ok($t->wait_for(qr/failon: member hostC: unknown, now suspect, requests failed$/), 'and suspected');
    ok($t->wait_for(qr/failon: member hostC: unknown -> up, status 200/), 'until a probe has passed');
    is($proxy->log->count(qr/status: member hostC: .*suspect/), 0, 'without it nothing is');
};

subtest 'suspicion never takes out the last instance' => sub {
    $c->health('hang');
    $c->reset('head', 3);
    my $client = client();
    is($client->get('/single/plain')->status, 502, "failure $_") for 1 .. 3;
    ok($t->wait_for(qr/single: member hostC: \w+, now suspect, requests failed$/), 'suspect');
    is(shares('/single/plain', 5), 'hostC:5', 'and serves all the same');
    is(usable($proxy, 'single'), "usable 1 of 1, open to new sessions 1, in flight 0\n", 'ha-health says so');
    $c->health('ok');
    ok($t->wait_for(qr/single: member hostC: \w+.*(?:no longer suspect|-> up)/), 'a probe clears it');
};

subtest 'nobody left: 503, quickly, and one line says why' => sub {
    $t->wait_for(sub { $proxy->log->count(qr/gone: member hostX: \w+ -> down, connect refused/) });
    my $lines = $proxy->log->count(qr/error\]/);
    my $begin = time;
    is(client()->get('/gone/plain')->status, 503, 'refused');
    cmp_ok(time - $begin, '<', 0.5, 'quickly');
    ok($t->wait_for(qr{gone: no member for /gone/plain: no member can be used}), 'the log says why');
    is($proxy->log->count(qr/error\]/) - $lines, 1, 'in one line');
};

subtest 'an instance that comes back starts slowly' => sub {
    $t->mark;
    $t->kill('hostD');
    ok($t->wait_for(qr/ramp: member hostD: \w+ -> down/), 'down');
    $t->start('hostD');
    $t->wait_for(qr/ramp: member hostD: down -> up/);
    my ($few) = shares('/ramp/plain', 40) =~ /hostD:(\d+)/;
    cmp_ok($few // 0, '<=', 8, 'few requests at first');
    ok($t->wait_for(sub { shares('/ramp/plain', 20) eq 'hostD:10 hostE:10' }), 'then its whole share');
};

subtest 'a child that dies takes its requests out of the counts' => sub {
    $c->hang;
    my @stuck = map {client()} 1 .. 5;
    $_->send($_->format_request(GET => '/errors/plain', to('hostC'))) for @stuck;
    $t->wait_for(sub { $c->count->{hanging} == 5 });
    is(usable($proxy, 'errors'), "usable 2 of 2, open to new sessions 2, in flight 5\n", 'five are in flight');
    my $watcher = $proxy->kill_children;
    my $begin = time;
    ok($t->wait_for(sub { usable($proxy, 'errors') =~ /in flight 0$/ }), 'all children die: none is');
    cmp_ok(time - $begin, '<', 2, 'at once');
    is(join(' ', map {$_->read_response->status} @stuck), '0 0 0 0 0', 'their clients know');
    $c->release;
    is(shares('/errors/plain', 4), 'hostC:2 hostD:2', 'new children serve');
    $t->mark;
    $t->kill('hostC');
    ok($t->wait_for(qr/errors: member hostC: \w+ -> down/), 'and watch the members');
    $t->start('hostC');
    ok($t->wait_for(qr/errors: member hostC: down -> up/), 'as before');
};

# --- and the load ---------------------------------------------------------------------------------

subtest 'no request of the load has failed' => sub {
    my $result = $load->wait;
    is("$result->{ok} ok, $result->{failed} failed", '5000 ok, 0 failed', 'two kills, no failure')
        or diag explain $result;
    note("late $result->{late_ms} ms, p50 $result->{p50_ms} ms, p99 $result->{p99_ms} ms");
};

$t->done;
