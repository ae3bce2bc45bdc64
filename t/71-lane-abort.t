# SPDX-License-Identifier: Apache-2.0
# Clients leave, in good order and by a reset, whatever the lane does for them at that moment: nothing
# of them stays, and others do not notice.
use v5.36;

use Socket qw(SOL_SOCKET SO_LINGER);

use HA::Mount qw(one_child);
use HA::Test;
use HA::Usage;

use constant {CLIENTS => 20, ROUNDS => 2, UPLOAD_BYTES => 1_000_000, DOWNLOAD_BYTES => 8_000_000, LONG_UPLOAD_BYTES => 40_000_000,
    IDLE_TICKS => 5};

my $t = HA::Test->new;
my ($app, $other) = map {$t->app("host$_")} qw(A B);
my $own = $t->port;

# An address that takes no connection: nobody accepts there, and the queue is full.
my $stuck = $t->port;
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $stuck, Listen => 1) // die "listen: $!\n";
my @queue;
for (1 .. 2) {
    push @queue, HA::Client->new(port => $stuck);
    $queue[-1]->connect;
}

sub balancer($name, $url)
{
    return <<~"CONFIG";
        <Proxy "balancer://$name">
        BalancerMember "$url" route=host$name connectiontimeout=1
        </Proxy>
        HABalancer $name
        ProxyPass "/$name" "balancer://$name/App"
        ProxyPassReverse "/$name" "balancer://$name/App"
        CONFIG
}

my $proxy = $t->httpd(
    modules => [qw(proxy proxy_http)],
    haproxy => 1,
    mpm_config => one_child(30),
    config => join "\n", 'HALane Require', "HAListen 127.0.0.1:$own", balancer('App', $app->url), balancer('Other', $other->url),
        (map {balancer("Stuck$_", "http://127.0.0.1:$stuck")} 1 .. 2 * ROUNDS), '<Location "/ha">', 'SetHandler ha-health', '</Location>'
);
my ($child) = $proxy->children;

# --- how a client comes to be in a state ----------------------------------------------------------

sub in_flight($name)
{
    my $page = $t->client(cookies => 0, keep_alive => 0)->get("/ha/$name");
    return $page->body =~ /in flight (\d+)$/ ? $1 : die 'no count: ' . $page->body;
}

sub wait_in_flight($name, $n)
{
    $t->wait_for(sub { in_flight($name) == $n }, 30, "$n in flight for $name");
    return;
}

# Waits until the lane has read all that these clients have sent.
sub wait_read(@clients)
{
    my %waits = map {sprintf('%04X', $_->socket->sockport) => 1} @clients;
    my $line = sprintf '^\s*\d+: \w+:(?:%04X|%04X) \w+:(\w+) \w\w \w+:(\w+) ', $proxy->port, $own;
    $t->wait_for(
        sub {
            open(my $in, '<', '/proc/net/tcp') or die "/proc/net/tcp: $!\n";
            return !grep {/$line/ && $waits{$1} && hex $2} <$in>;
        }
    );
    return;
}

sub upload($path, $client)
{
    my $head = "POST $path HTTP/1.1\r\nHost: localhost\r\nContent-Length: " . UPLOAD_BYTES . "\r\n\r\n";
    $client->send($head . 'x' x (UPLOAD_BYTES / 10));
    return;
}

sub idle(@clients)
{
    $_->get('/App/plain')->status == 200 or die "no answer\n" for @clients;
    return;
}

sub head(@clients)
{
    idle(@clients);
    $_->send("GET /App/plain HTTP/1.1\r\nHo") for @clients;
    wait_read(@clients);
    return;
}

# Those whose time runs out make their member look dead: the next ones have another.
my $connects = 0;

sub connecting(@clients)
{
    my $name = 'Stuck' . ++$connects;
    $_->send($_->format_request(GET => "/$name/plain")) for @clients;
    wait_in_flight($name => scalar @clients);
    return;
}

sub uploading(@clients)
{
    upload('/App/upload', $_) for @clients;
    wait_in_flight(App => scalar @clients);
    wait_read(@clients);
    return;
}

sub waiting(@clients)
{
    $app->hang;
    $_->send($_->format_request(GET => '/App/plain')) for @clients;
    wait_in_flight(App => scalar @clients);
    return;
}

sub downloading(@clients)
{
    $_->send($_->format_request(GET => '/App/bytes?n=' . DOWNLOAD_BYTES)) for @clients;
    $_->read_raw for @clients;
    wait_in_flight(App => scalar @clients);
    return;
}

# Answered before it has sent all: the lane has ended its direction.
sub lingering(@clients)
{
    upload('/App/early?code=413', $_) for @clients;
    for my $client (@clients) {
        my $answer = $client->read_raw(all => 1);
        $answer =~ /^HTTP\/1.1 413 / or die "not refused: $answer\n";
    }
    return;
}

# --- how it leaves --------------------------------------------------------------------------------

sub reset(@clients)
{
    setsockopt $_->socket, SOL_SOCKET, SO_LINGER, pack 'II', 1, 0 for @clients;
    $_->close for @clients;
    return;
}

sub leave(@clients)
{
    $_->close for @clients;
    return;
}

# Has nothing more to say, but listens.
sub half_close(@clients)
{
    shutdown $_->socket, 1 for @clients;
    for my $client (@clients) {
        my $rest = $client->read_raw(all => 1);
        die 'cut: ' . length($rest) . "\n" if length $rest < DOWNLOAD_BYTES / 2;
    }
    leave(@clients);
    return;
}

# How clients come there and leave, and what ends the wait for those that may still listen.
my @cases = (
    ['idle, in good order', \&idle, \&leave],
    ['idle, by a reset', \&idle, \&reset],
    ['within a head, in good order', \&head, \&leave],
    ['within a head, by a reset', \&head, \&reset],
    ['within an upload, in good order', \&uploading, \&leave],
    ['within an upload, by a reset', \&uploading, \&reset],
    ['while an answer is awaited, in good order', \&waiting, \&leave, sub { $app->release }],
    ['while an answer is awaited, by a reset', \&waiting, \&reset],
    ['within a download, half', \&downloading, \&half_close],
    ['within a download, by a reset', \&downloading, \&reset],
    ['after an early answer, in good order', \&lingering, \&leave],
    ['after an early answer, by a reset', \&lingering, \&reset],
    ['after an early answer, never', \&lingering, sub (@) { }],
);

# The descriptors of the child are as many as that again, but for connections that wait.
sub wait_descriptors($most)
{
    $t->wait_for(
        sub {
            $_->close_idle for $app, $other;
            return HA::Usage::descriptors($child) <= $most;
        },
        15, "$most descriptors"
    );
    return;
}

# What is in flight for all balancers.
sub all_in_flight
{
    my $sum = 0;
    $sum += in_flight($_) for 'App', map {"Stuck$_"} 1 .. 2 * ROUNDS;
    return $sum;
}

# Plays it, with so many descriptors at most behind it.
sub play($case, $most = undef)
{
    my (undef, $come, $go, $then) = @$case;
    my @clients = map {$t->client(port => $_ % 2 ? $own : $proxy->port, cookies => 0)} 1 .. CLIENTS;
    $come->(@clients);
    $go->(@clients);
    $then->() if $then;
    $t->wait_for(sub { all_in_flight() == 0 }, 15, 'nothing in flight');
    $app->release;
    wait_descriptors($most) if $most;
    # Those that never leave have their sockets until here.
    return scalar @clients;
}

# What is made once, in the first round.
play($_) for @cases;
my $base;
$t->wait_for(
    sub {
        $_->close_idle for $app, $other;
        my ($before, $now) = ($base // 0, HA::Usage::descriptors($child));
        $base = $now;
        return $now == $before;
    }
);

# Others have a few descriptors too.
my $load = $t->load(path => '/Other/plain', rate => 50, count => 100_000, retry => 0);
for my $case (
    @cases,
    ['while a connection is made, by a reset', \&connecting, \&reset],
    ['while a connection is made, in good order', \&connecting, \&leave],
) {
    subtest $case->[0] => sub {
        for my $round (1 .. ROUNDS) {
            ok(eval { play($case, $base + CLIENTS / 2) }, "round $round: nothing stays") or diag $@;
        }
        return if $case->[0] =~ /made, in good order/;
        is($proxy->log->count(qr/failed on|no member for/), 0, 'it is nobody\'s failure');
    };
}
# More than kernels hold: he can only come to read once somebody has taken all of it.
subtest 'who reads nothing before he has sent all gets an answer that came early' => sub {
    my $much = 'x' x LONG_UPLOAD_BYTES;
    for my $port ($own, $proxy->port) {
        my $client = $t->client(port => $port, cookies => 0, keep_alive => 0);
        ok($client->send($client->format_request(POST => '/App/early?code=413', body => $much)), 'a body is taken')
            or diag $client->{error};
        like($client->read_raw(all => 1), qr/^HTTP\/1\.1 413 /, 'and refused');
        $client->close;
        ok($client->send($client->format_request(GET => '/App/plain') . $much), 'so is what comes behind the last request')
            or diag $client->{error};
        like($client->read_raw(all => 1), qr/^HTTP\/1\.1 200 /, 'which is served');
    }
};

subtest 'so does who sends on for a while' => sub {
    my $client = $t->client(port => $own, cookies => 0, keep_alive => 0);
    upload('/App/early?code=413', $client);
    my $at = time;
    my $sent = 0;
    $t->wait_for(sub { $sent += $client->send('x' x 1000); time > $at + 4 });
    my $taken = $client->send('x');
    ok($taken, "it is taken, $sent times") or diag $client->{error};
    like($client->read_raw(all => 1), qr/^HTTP\/1\.1 413 /, 'and refused');
};

$load->finish;
my $result = $load->wait;
is($result->{failed}, 0, 'others do not notice') or diag explain $result->{failures};
ok(eval { wait_descriptors($base); 1 }, 'no descriptor stays') or diag $@;
cmp_ok(HA::Usage::pipes($child), '<=', 2 * 32 + 4, 'but those of a few pipes');
is(join(' ', $proxy->children), $child, 'the same child');
cmp_ok(HA::Usage::ticks_within($child, 1), '<', IDLE_TICKS, 'it does nothing when there is nothing to do');

# The time to connect ran out, for those that might have listened.
is($proxy->log->count(qr/Stuck\d: member hostStuck\d failed on \S+: no connection$/), CLIENTS * ROUNDS,
    'the log has a line for each that might have listened');
$t->expect_log(qr/Stuck\d: member hostStuck\d/);
$t->done;
