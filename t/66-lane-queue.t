# SPDX-License-Identifier: Apache-2.0
# max= and queue= come to the same with the lane as without it: what finds all members at their max
# waits, with all that the client has sent of it so far.
use v5.36;

use Digest::SHA qw(sha256_hex);
use IO::Select;

use HA::Pair;
use HA::Test;

my $t = HA::Test->new;
my $app = $t->app('hostA');
my $gone = $t->port;

sub mount($name, $keys, @members)
{
    my $rows = join "\n", map {qq(BalancerMember "$members[$_]" route=m$_)} 0 .. $#members;
    return <<~"CONFIG";
        <Proxy "balancer://$name">
        $rows
        </Proxy>
        HABalancer $name $keys
        ProxyPass "/$name" "balancer://$name/App"
        CONFIG
}

my $pair = HA::Pair->new(
    $t,
    app => $app,
    modules => [qw(proxy proxy_http)],
    haproxy => 1,
    log_level => 'info haproxy:debug',
    config => join('', "\@LANE\@\n", mount('Long', 'max=1 queue=2 queue-timeout=60s', $app->url),
        mount('Short', 'max=1 queue=2 queue-timeout=300ms', $app->url), mount('None', 'max=1', $app->url),
        mount('Partly', 'max=1 queue=2 queue-timeout=60s method=round', "http://127.0.0.1:$gone", $app->url)),
);
$t->expect_log(qr/no member for \S+: every member that could be used is at its max|m0 failed on|: member m0: |AH00957|AH01114/);

sub client($server)
{
    return $t->client(port => $server->port, cookies => 0);
}

# The instance has a request of that mount, and keeps it.
sub occupy($server, $mount)
{
    $app->barrier_hold;
    my $client = client($server);
    $client->send("GET /$mount/plain HTTP/1.1\r\nHost: localhost\r\n\r\n");
    $app->barrier_wait(1);
    return $client;
}

my $head = "HTTP/1.1\r\nHost: localhost\r\n";
my $content = HA::Client::content(50_000);
# What is sent before there is room, and what behind it; what the answer is then.
my %parts = (
    'a GET' => ["GET /%s/plain $head\r\n", '', qr/^hostA$/],
    'a POST' => ["POST /%s/upload ${head}Content-Length: 5\r\n\r\nab", 'cde', qr/^5 \Q${\sha256_hex('abcde')}\E$/],
    'a POST without its body' => ["POST /%s/upload ${head}Content-Length: 5\r\n\r\n", 'abcde', qr/^5 /],
    'chunks' => ["POST /%s/upload ${head}Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nabcde\r\n5\r\nab", "cde\r\n0\r\n\r\n",
        qr/^10 \Q${\sha256_hex('abcdeabcde')}\E$/],
    'chunks, cut in their trailers' => ["POST /%s/upload ${head}Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nX: y\r\n", "\r\n", qr/^5 /],
    'a long POST' => ["POST /%s/upload ${head}Content-Length: 50000\r\n\r\n" . substr($content, 0, 20_000), substr($content, 20_000),
        qr/^50000 \Q${\sha256_hex($content)}\E$/],
);

for my $which (qw(off on)) {
    my $server = $pair->server($which);
    my $given = sub { $which eq 'on' ? $pair->given : 0 };

    for my $name (sort keys %parts) {
        subtest "HALane $which: $name waits" => sub {
            my ($first, $rest, $answer) = @{$parts{$name}};
            my $before = $given->();
            my $busy = occupy($server, 'Long');
            my $client = client($server);
            $client->send(sprintf $first, 'Long');
            ok(!IO::Select->new($client->socket)->can_read(0.3), 'no answer while there is no room');
            $app->barrier_open;
            is($busy->read_response->status, 200, 'when the other one is answered');
            $client->send($rest);
            my $got = $client->read_response;
            is($got->status, 200, 'so is this one');
            like($got->body =~ s/\n\z//r, $answer, 'with all that was sent');
            cmp_ok($given->() - $before, '==', $which eq 'on' ? 1 : 0, 'having been given back') if $which eq 'on';
        };
    }

    subtest "HALane $which: who finds the queue full is refused at once" => sub {
        my $busy = occupy($server, 'Long');
        my @clients = map {client($server)} 1 .. 3;
        $_->send("GET /Long/plain $head\r\n") for @clients;
        my $select = IO::Select->new(map {$_->socket} @clients);
        my @first = $select->can_read(15);
        is(scalar @first, 1, 'one of three where two may wait');
        $select->remove(@first);
        ok(!$select->can_read(0.3), 'the others wait');
        $app->barrier_open;
        is(join(' ', sort map {$_->read_response->status} @clients), '200 200 503', 'and are served');
        $busy->read_response;
    };

    subtest "HALane $which: the time in the queue has an end" => sub {
        my $busy = occupy($server, 'Short');
        is(client($server)->get('/Short/plain')->status, 503, 'refused');
        $app->barrier_open;
        $busy->read_response;
    };

    subtest "HALane $which: without queue= nobody waits" => sub {
        my ($before, $busy) = ($given->(), occupy($server, 'None'));
        is(client($server)->get('/None/plain')->status, 503, 'refused');
        $app->barrier_open;
        $busy->read_response;
    };

    subtest "HALane $which: who could not reach a member waits for the other one" => sub {
        my $busy = occupy($server, 'Partly');
        my @clients = map {client($server)} 1 .. 2;
        $_->send("GET /Partly/plain $head\r\n") for @clients;
        ok(!IO::Select->new(map {$_->socket} @clients)->can_read(0.3), 'no answer while there is no room');
        $app->barrier_open;
        is(join(' ', map {$_->read_response->status} @clients), '200 200', 'then they are served');
        $busy->read_response;
    };
}

$t->done;
