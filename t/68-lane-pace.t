# SPDX-License-Identifier: Apache-2.0
# RequestReadTimeout: clients that are too slow are told so with the lane as without it, and those
# that are just fast enough are served.
use v5.36;

use Time::HiRes qw(sleep time);

use HA::Pair;
use HA::Test;

my $t = HA::Test->new;
my $app = $t->app('hostA');
my $mount = qq(ProxyPass "/App" "balancer://App/App");
my $pair = HA::Pair->new(
    $t,
    app => $app,
    modules => [qw(proxy proxy_http reqtimeout)],
    haproxy => 1,
    ports => 3,
    config => <<~"CONFIG",
        RequestReadTimeout header=2-8,MinRate=10
        RequestReadTimeout body=2-8,minrate=10
        KeepAliveTimeout 6
        <Proxy "balancer://App">
        BalancerMember "${\$app->url}" route=hostA
        </Proxy>
        HABalancer App
        \@LANE\@
        <VirtualHost *:\@PORT\@>
        ServerName first.example
        RequestReadTimeout body=1
        </VirtualHost>
        <VirtualHost *:\@PORT\@>
        ServerName second.example
        RequestReadTimeout header=0 body=30
        $mount
        </VirtualHost>
        <VirtualHost *:\@PORT2\@>
        ServerName alone.example
        $mount
        </VirtualHost>
        <VirtualHost *:\@PORT3\@>
        ServerName endless.example
        RequestReadTimeout header=0
        Timeout 5
        $mount
        </VirtualHost>
        CONFIG
);
# What httpd says of a body that stopped.
$t->expect_log(qr/AH\d+/);

# A list of pieces, one sent every so many seconds.
sub in_pieces($every, $size, $bytes)
{
    return (every => $every, pieces => [unpack "(a$size)*", $bytes]);
}

my $get = "GET /App/plain HTTP/1.1\r\nHost: alone.example\r\n";
my $post = "POST /App/upload HTTP/1.1\r\nHost: alone.example\r\n";
my $second = $post =~ s/alone/second/r;
my $long = 'X: ' . 'y' x 4000 . "\r\n\r\n";

# What is sent at once before the pieces; what the answer is, and not before how many seconds.
my %cases = (
    'a head that stops' => {first => $get, status => 408, after => 2},
    'a head below the rate' => {first => $get, in_pieces(0.5, 1, $long), status => 408, after => 2},
    'a head above the rate' => {first => $get, in_pieces(0.1, 4, "X: 12345678901234567890\r\nY: 123456789\r\n\r\n"), status => 200},
    'a head that takes longer than the most' => {first => $get, in_pieces(0.1, 4, $long), status => 408, after => 7.5},
    'the head of a second request' => {before => "$get\r\n", first => $get, status => 408, after => 2},
    'the head of a second request, late' => {before => "$get\r\n", pause => 3.5, first => "$get\r\n", status => 200},
    'a body that stops' => {first => "${post}Content-Length: 5\r\n\r\nab", status => 408, after => 2},
    'a body that does not begin' => {first => "${post}Content-Length: 5\r\n\r\n", status => 408, after => 2},
    'chunks that stop' => {first => "${post}Transfer-Encoding: chunked\r\n\r\n5\r\nab", status => 408, after => 2},
    'a body below the rate' =>
        {first => "${post}Content-Length: 500\r\n\r\n", in_pieces(0.5, 1, 'x' x 500), status => 408, after => 2},
    'a body above the rate' => {first => "${post}Content-Length: 60\r\n\r\n", in_pieces(0.1, 2, 'x' x 60), status => 200},
    'a body that takes longer than the most' =>
        {first => "${post}Content-Length: 5000\r\n\r\n", in_pieces(0.1, 4, 'x' x 5000), status => 408, after => 7.5},
    # Of several at one address the first one counts for heads, each for its bodies.
    'a body, for the second virtual host' =>
        {port => 1, first => "${second}Content-Length: 8\r\n\r\n", in_pieces(0.6, 1, 'x' x 8), status => 200},
    'a head, for the second virtual host' => {port => 1, first => $second, status => 408, after => 2},
    'a head without a pace' => {port => 3, first => $get =~ s/alone/endless/r, status => 408, after => 5},
    'a head without a pace, slow' =>
        {port => 3, first => $get =~ s/alone/endless/r, in_pieces(0.8, 6, "X: 123456\r\n\r\n"), status => 200},
);

sub begin($which, $name)
{
    my %case = (pieces => [], every => 0, pause => 0, after => 0, which => $which, name => $name, %{$cases{$name}});
    my $client = $case{client} =
        $t->client(port => $pair->server($which)->port($case{port} // 2), cookies => 0, timeout => 20);
    if ($case{before}) {
        $client->send($case{before});
        is($client->read_response->status, 200, "$name: the request before");
    }
    $case{due} = time + $case{pause};
    $case{pieces} = [$case{first}, @{$case{pieces}}];
    return \%case;
}

# Sends what is due, and looks for the answer.
sub go_on($case)
{
    my $client = $case->{client};
    my $now = time;
    if (@{$case->{pieces}} && $now >= $case->{due}) {
        $case->{began} //= $now;
        $client->send(shift @{$case->{pieces}});
        $case->{due} += $case->{every} || 0.001;
    }
    return if !IO::Select->new($client->socket)->can_read(0);
    $case->{took} = $now - $case->{began};
    $case->{answer} = $client->read_response;
    return;
}

my @all = map {my $name = $_; map {begin($_, $name)} 'off', 'on'} sort keys %cases;
my $until = time + 40;
while (time < $until && grep {!$_->{answer}} @all) {
    go_on($_) for grep {!$_->{answer}} @all;
    sleep 0.01;
}
my %text;
for my $case (@all) {
    my $name = "HALane $case->{which}: $case->{name}";
    my $answer = $case->{answer};
    is($answer ? $answer->status : 'no answer', $case->{status}, $name);
    cmp_ok($case->{took} // 0, '>=', $case->{after}, "$name, not too soon") if $case->{after};
    next if !$answer || $case->{status} == 200;
    $text{$case->{name}}{$case->{which}} = join ' ', $answer->header('Connection') // '', $answer->body;
}
is($text{$_}{on}, $text{$_}{off}, "$_: the same page") for sort keys %text;
$t->done;
