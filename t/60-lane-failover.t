# SPDX-License-Identifier: Apache-2.0
# Instances of the lane die, hang and are full, under load: clients see as little of it as can be,
# and nothing reaches two of them that must not.
use v5.36;

use IO::Select;
use Time::HiRes qw(time);

use HA::Manager;
use HA::Mount qw(balancer bound children faster);
use HA::Test;

use constant {RATE => faster(1000, 150), WAITING => 100, KILLS => 4};

my $t = HA::Test->new;
my ($a, $b, $c, $d) = map {$t->app("host$_", ledger => 1)} qw(A B C D);
my $health = qq(<Location "/ha-health">\nSetHandler ha-health\n</Location>\n);
my %common = (
    mpm => 'event',
    modules => [qw(proxy proxy_http proxy_balancer slotmem_shm lbmethod_byrequests)],
    haproxy => 1,
);
# Few threads: who waits for an instance must not need one.
my $loaded = $t->httpd(
    %common,
    mpm_config => children(2, 8),
    config => join '', "HALane Require\n", $health, balancer('App', [$a, $b], check => ''),
);
my $proxy = $t->httpd(
    %common,
    mpm_config => children(2, 8),
    config => join('', "HALane Require\n", $health,
        balancer('dies', [$c, $d]),
        balancer('hangs', [$c, $d], check => ''),
        balancer('full', [$c, $d], ours => 'max=5'),
        balancer('queue', [$c], ours => 'max=1 queue=3 queue-timeout=30s'),
        balancer('strict', [$c, $d], ours => 'failover=strict'),
        balancer('told', [$c, $d]),
        qq(<Location "/manager">\nSetHandler balancer-manager\n</Location>\n)),
);
my $port = $proxy->port;
my $manager = HA::Manager->new(port => $port);

# What the lane says of a member that has failed.
$t->expect_log(qr/member host\w failed on \S+: (?:no connection|ended before its answer|broken off)/);

sub client(%opt)
{
    return $t->client(port => $port, cookies => 0, retry => 0, %opt);
}

sub shares($path, $count, @more)
{
    return spread(client(), $path, $count, @more);
}

sub usable($server, $app)
{
    return $t->client(port => $server->port)->get("/ha-health/$app")->body;
}

sub seconds_until($pattern)
{
    my $begin = time;
    $t->wait_for($pattern);
    return time - $begin;
}

# Clients that have sent a request each: [method, client].
sub ask($count, $method, $path, %opt)
{
    my @asked;
    for my $n (1 .. $count) {
        my $client = client(timeout => 20);
        my $tag = ($opt{tag} // $method) . $n;
        my %body = $method =~ /^P/ ? (body => 'x' x 100) : ();
        my %headers = (%{$opt{headers} // {}}, 'X-Request-Tag' => $tag);
        $client->send($client->format_request($method, $path, %body, headers => \%headers));
        push @asked, [$method, $client];
    }
    return @asked;
}

# How they were answered: "200 hostA:5 502 -:2".
sub answers(@asked)
{
    my %by;
    for (@asked) {
        my ($method, $client) = @$_;
        my $answer = $client->read_response($method);
        $by{join ' ', $answer->status, $answer->instance // $answer->error // '-'}++;
    }
    return join ', ', map {"$_: $by{$_}"} sort keys %by;
}

# --- a load of all kinds, and instances that are killed -------------------------------------------

# Requests a second by what they are; together RATE.
my %loads = (
    'GET, kept connections' => [0.3, path => '/App/plain'],
    'GET, new connections' => [0.1, path => '/App/plain', keep_alive => 0],
    'GET, 20 KB' => [0.05, path => '/App/bytes?n=20000'],
    'HEAD' => [0.05, path => '/App/plain', method => 'HEAD'],
    'DELETE' => [0.05, path => '/App/plain', method => 'DELETE'],
    'PUT, 1 KB' => [0.1, path => '/App/upload', method => 'PUT', body => 'x' x 1000],
    'PUT, 20 KB' => [0.05, path => '/App/upload', method => 'PUT', body => 'x' x 20_000],
    'sessions of hostA' => [0.1, path => '/App/', bound('hostA')],
    'sessions of hostB' => [0.1, path => '/App/', bound('hostB')],
    'POST' => [0.1, path => '/App/upload', method => 'POST', body => 'x' x 100, tag => 'post',
        ok => qr/^(?:200|502)$/],
);

sub start_load($part, %opt)
{
    return $t->load(
        port => $loaded->port, rate => RATE * $part, count => 1_000_000, retry => 0,
        max_in_flight => 2000, timeout => 20, %opt
    );
}

subtest 'instances are killed under load: nothing fails, and no POST comes twice' => sub {
    $t->wait_for(qr/App: member $_: unknown -> up/) for qw(hostA hostB);
    my %running = map {$_ => start_load(@{$loads{$_}})} keys %loads;
    my $pace = $running{'GET, kept connections'};
    my $home = $running{'sessions of hostA'};
    $_->slow(10) for $a, $b;
    $pace->wait_progress(RATE / 10);
    for my $n (1 .. KILLS) {
        my $name = $n % 2 ? 'hostA' : 'hostB';
        $t->kill($name);
        $t->wait_for(qr/App: member $name: up -> down/);
        $home->wait_progress($home->progress + 10);
        $t->start($name);
        $t->app($name)->slow(10);
        $t->wait_for(qr/App: member $name: down -> up/);
        $t->wait_for(sub { $t->app($name)->count->{requests} > 10 });
    }
    $pace->wait_progress($pace->progress + 10);
    $_->finish for values %running;
    my %result = map {$_ => $running{$_}->wait} keys %running;
    for my $name (sort keys %result) {
        my $result = $result{$name};
        is($result->{failed}, 0, "$name: none of $result->{sent} failed") or diag explain $result;
    }
    my $sum = 0;
    $sum += $_->{sent} for values %result;
    note(sprintf '%d requests in %.1f s, p99 %d ms', $sum, map {$result{'GET, kept connections'}{$_}} qw(seconds p99_ms));
    my ($of_a, $of_b) = map {$result{"sessions of $_"}{instances}} qw(hostA hostB);
    ok($of_a->{hostA} && $of_a->{hostB}, 'sessions of hostA were served by both');
    ok($of_b->{hostA} && $of_b->{hostB}, 'so were those of hostB');
    my %seen = %{$a->seen};
    my $of_other = $b->seen;
    $seen{$_} += $of_other->{$_} for keys %$of_other;
    is(join(' ', grep {$seen{$_} > 1} sort keys %seen), '', 'no POST was seen twice');
    cmp_ok(scalar keys %seen, '>=', $result{POST}{status}{200}, 'all that were answered were seen');
};

subtest 'an instance is killed while many wait for it' => sub {
    $t->wait_for(qr/dies: member $_: unknown -> up/) for qw(hostC hostD);
    my ($gets, $puts, $posts) = map {WAITING * $_} 0.6, 0.2, 0.2;
    $c->barrier_hold;
    my @repeatable = (ask($gets, 'GET', '/dies/plain', bound('hostC')), ask($puts, 'PUT', '/dies/upload', bound('hostC')));
    my @others = ask($posts, 'POST', '/dies/upload', bound('hostC'));
    $c->barrier_wait(WAITING);
    is(usable($proxy, 'dies') =~ /in flight (\d+)/ ? $1 : '', WAITING, 'all are in flight');
    is(shares('/dies/plain', 3, bound('hostD')), 'hostD:3', 'others are served: waiting holds no thread');
    $t->kill('hostC');
    is(answers(@repeatable), '200 hostD: ' . ($gets + $puts), 'those that may be repeated are answered by the other one');
    is(answers(@others), "502 -: $posts", 'a POST is refused');
    my ($first, $second) = map {scalar grep {/POST/} keys %{$_->seen}} $c, $d;
    is("$first, $second", "$posts, 0", 'and was seen by the first one only');
    $t->start('hostC');
    ok($t->wait_for(qr/dies: member hostC: \w+ -> up/), 'it comes back');
};

# --- instances that hang --------------------------------------------------------------------------

subtest 'an instance that hangs is out within 3 s, back within 2 s, and hurts nobody else' => sub {
    $t->wait_for(sub { usable($proxy, 'hangs') =~ /^usable 2/ });
    my $others = $t->load(port => $port, path => '/hangs/plain', rate => 100, count => 100_000, retry => 0, bound('hostD'));
    $others->wait_progress(20);
    $t->mark;
    $c->pause;
    my @stuck = ask(WAITING, 'GET', '/hangs/plain', bound('hostC'));
    cmp_ok(seconds_until(qr/hangs: member hostC: up -> down, no answer within 500 ms, 3 of 3/), '<', 3, 'out');
    is(shares('/hangs/plain', 6), 'hostD:6', 'new ones go to the other one');
    is(shares('/hangs/plain', 6, bound('hostC')), 'hostD:6', 'so do its sessions');
    $others->wait_progress($others->progress + 50);
    $c->resume;
    cmp_ok(seconds_until(qr/hangs: member hostC: down -> up, status 200, 2 of 2/), '<', 2, 'back');
    is(answers(@stuck), '200 hostC: ' . WAITING, 'those that waited are answered');
    $others->finish;
    my $result = $others->wait;
    is($result->{failed}, 0, "none of $result->{sent} of the other one failed") or diag explain $result;
    cmp_ok($result->{max_ms}, '<', 5000, 'nor did one have to wait for the other');
};

# --- members that are full, drained, or the only ones ----------------------------------------------

subtest 'max= bounds what a member has in flight' => sub {
    $t->expect_log(qr/full: no member for \S+: every member that could be used is at its max/);
    $_->barrier_hold for $c, $d;
    my @asked = ask(10, 'GET', '/full/plain');
    $_->barrier_wait(5) for $c, $d;
    is(shares('/full/plain', 3), 'status503:3', 'no more than five at each: the next is refused');
    $_->barrier_open for $c, $d;
    is(answers(@asked), '200 hostC: 5, 200 hostD: 5', 'and those are answered');
    is(shares('/full/plain', 4), 'hostC:2 hostD:2', 'then others are');
};

# A request whose body ends later.
sub ask_in_part($method, @fields)
{
    my $client = client();
    my $head = $client->format_request($method, '/queue/upload', headers => [@fields, 'X-Request-Tag' => 'late']);
    $client->send($head . ($fields[0] =~ /Length/ ? 'abc' : "3;extra=1\r\nabc\r\n"));
    return [$method, $client];
}

subtest 'queue= has them wait' => sub {
    $t->expect_log(qr/queue: no member for \S+: every member that could be used is at its max/);
    $c->barrier_hold;
    my @first = ask(1, 'GET', '/queue/plain');
    $c->barrier_wait(1);
    my $counted = ask_in_part('POST', 'Content-Length' => 6);
    my $chunked = ask_in_part('PUT', 'Transfer-Encoding' => 'chunked');
    $counted->[1]->send('def');
    $chunked->[1]->send("3\r\ndef\r\n0\r\n\r\n");
    my @waiting = ($counted, $chunked, ask(2, 'GET', '/queue/plain'));
    my $sockets = IO::Select->new(map {$_->[1]->socket} @waiting);
    my %early = map {$_ => 1} $sockets->can_read(15);
    my @refused = grep {$early{$_->[1]->socket}} @waiting;
    is(answers(@refused), '503 -: 1', 'one more than may wait is refused');
    $c->barrier_open;
    my @rest = grep {$_ != $refused[0]} @waiting;
    is(answers(@first, @rest), '200 hostC: 4', 'those that waited are answered');
    my @bodies = sort map {$_->{length}} grep {$_->{tag} eq 'late'} $c->ledger;
    is("@bodies", join(' ', map {6} grep {$_ != $refused[0]} $counted, $chunked), 'with their bodies');
};

subtest 'failover=strict never sends a session to another member' => sub {
    $t->expect_log(qr/strict: no member for \S+: the session's member cannot be used and failover=strict/);
    $t->wait_for(sub { usable($proxy, 'strict') =~ /^usable 2/ });
    $c->barrier_hold;
    my @asked = ask(10, 'GET', '/strict/plain', bound('hostC'), tag => 'strict');
    $c->barrier_wait(10);
    my $at = $proxy->log->count(qr/strict: member hostC: up -> down/);
    $t->kill('hostC');
    is(answers(@asked), '502 -: 10', 'what waits for an instance that is killed is refused');
    $t->wait_for(sub { $proxy->log->count(qr/strict: member hostC: up -> down/) > $at });
    is(shares('/strict/plain', 3, bound('hostC')), 'status503:3', 'its sessions: 503');
    is(scalar(grep {/strict/} keys %{$d->seen}), 0, 'and no other one saw them');
    is(shares('/strict/plain', 4), 'hostD:4', 'new ones are served');
    $t->start('hostC');
    $t->wait_for(sub { usable($proxy, 'strict') =~ /^usable 2/ });
    is(shares('/strict/plain', 3, bound('hostC')), 'hostC:3', 'when it is back, so are they');
};

subtest 'a member that drains keeps its sessions, one that is off has none' => sub {
    $t->wait_for(sub { usable($proxy, 'told') =~ /^usable 2/ });
    my $load = $t->load(port => $port, path => '/told/plain', rate => 100, count => 100_000, retry => 0);
    $load->wait_progress(20);
    $manager->tell('told', $c->url, 'drain');
    $t->wait_for(qr/told: member hostC: enabled -> drain, by an operator/);
    is(shares('/told/plain', 6), 'hostD:6', 'drain: nothing new');
    is(shares('/told/plain', 3, bound('hostC')), 'hostC:3', 'but its sessions');
    $manager->tell('told', $c->url, 'drain', 0);
    $t->wait_for(qr/told: member hostC: drain -> enabled, by an operator/);
    $manager->tell('told', $c->url, 'disable');
    $t->wait_for(qr/told: member hostC: enabled -> maint, by an operator/);
    is(shares('/told/plain', 3, bound('hostC')), 'hostD:3', 'off: not even those');
    $manager->tell('told', $c->url, 'disable', 0);
    $t->wait_for(qr/told: member hostC: maint -> enabled, by an operator/);
    is(shares('/told/plain', 3, bound('hostC')), 'hostC:3', 'on again');
    $load->finish;
    my $result = $load->wait;
    is($result->{failed}, 0, "none of $result->{sent} failed meanwhile") or diag explain $result;
};

$t->done;
