# SPDX-License-Identifier: Apache-2.0
# Instances close the connections that are kept just when the next request goes out on them: nothing
# that may be repeated fails, and nothing that may not is sent twice.
use v5.36;

use Storable qw(retrieve store);

use HA::Raw;
use HA::Test;

use constant {CLIENTS => 4, REQUESTS => 125, IDLE_SECONDS => 0.002};
# After how many rounds it is given up.
use constant ROUNDS_MAX => 40;
# Of the POSTs, in percent: those that were on their way when the connection was closed.
use constant FAILED_PERCENT_MAX => 25;

# Answers, and closes: at once or after a while, with what it has not read or reading on.
sub answer($request)
{
    my $length = length $request->{target};
    my $head = "HTTP/1.1 200 OK\r\nX-Target: $request->{target}\r\nContent-Length: $length\r\n\r\n";
    my $text = $request->{method} eq 'HEAD' ? '' : $request->{target};
    my @while = rand() < 0.9 ? [idle => rand IDLE_SECONDS] : ();
    return $head . $text, @while, rand() < 0.5 ? ['end'] : ['close'];
}

my $t = HA::Test->new;
my ($first, @others) = map {HA::Raw->new($t, $_, answer => \&answer)} qw(hostA hostB hostC);

sub balancer($name, @members)
{
    my $lines = join "\n", map {'BalancerMember "' . $_->url . '" route=' . $_->name} @members;
    return <<~"CONFIG";
        <Proxy "balancer://$name">
        $lines
        </Proxy>
        HABalancer $name
        ProxyPass "/$name" "balancer://$name/$name"
        ProxyPassReverse "/$name" "balancer://$name/$name"
        CONFIG
}

my $proxy = $t->httpd(
    modules => [qw(proxy proxy_http)],
    haproxy => 1,
    config => "HALane Require\n" . balancer('One', $first) . balancer('Two', @others),
);

# What one client sees of its requests: {answered => n, failed => {target => why}}.
sub ask($method, $target, $count)
{
    my $client = $t->client(cookies => 0, retry => 0);
    my %body = $method =~ /^P/ ? (body => 'x' x 100) : ();
    my %result = (answered => 0, failed => {});
    for my $n (1 .. $count) {
        my $own = "$target-$n";
        my $answer = $client->request($method, $own, %body, headers => {'X-Request-Tag' => $own});
        my $good = $answer->status == 200 && $answer->header('X-Target') eq $own
            && $answer->body eq ($method eq 'HEAD' ? '' : $own);
        $result{answered} += $good;
        $result{failed}{$own} = join ' ', $answer->status, $answer->error // '' if !$good;
    }
    return \%result;
}

# The same of several at once.
sub ask_at_once($method, $target, $count)
{
    my %pids;
    for my $n (1 .. CLIENTS) {
        my $file = $t->dir("$method-$n.result");
        my $code = sub { store(ask($method, "$target-$n", $count), $file) };
        $pids{$t->spawn("$method-$n", code => $code)} = $file;
    }
    my %sum = (answered => 0, failed => {});
    for my $pid (keys %pids) {
        $t->wait_end($pid, 120) == 0 or die "a client failed\n";
        my $result = retrieve($pids{$pid});
        $sum{answered} += $result->{answered};
        $sum{failed} = {%{$sum{failed}}, %{$result->{failed}}};
    }
    return \%sum;
}

sub said(%failed)
{
    return join "\n", map {"$_: $failed{$_}"} sort keys %failed;
}

# How many connections the instances have closed, and how many requests came when it was too late.
sub races(@raws)
{
    my ($closed, $late) = (0, 0);
    for my $raw (@raws) {
        my @entries = $raw->ledger;
        my %connections = map {$_->{connection} => 1} @entries;
        $closed += keys %connections;
        $late += grep {$_->{what} eq 'late'} @entries;
    }
    return ($closed, $late);
}

# Rounds of requests of these methods until so many connections were closed. The same of all.
sub race($name, $raws, $races, @methods)
{
    my %sum = (answered => 0, failed => {}, asked => 0);
    for my $round (1 .. ROUNDS_MAX) {
        for my $method (@methods) {
            my $result = ask_at_once($method, "/$name/$method-$round", REQUESTS);
            $sum{answered} += $result->{answered};
            $sum{asked} += CLIENTS * REQUESTS;
            $sum{failed} = {%{$sum{failed}}, %{$result->{failed}}};
        }
        @sum{qw(closed late)} = races(@$raws);
        last if $sum{closed} >= $races;
    }
    my $failed = keys %{$sum{failed}};
    note "$sum{asked} requests, $sum{closed} connections closed, $sum{late} too late, $failed failed";
    cmp_ok($sum{closed}, '>=', $races, "$races connections were closed");
    is($sum{answered} + $failed, $sum{asked}, 'every request has come to an end');
    return \%sum;
}

for my $case (['One', $first], ['Two', @others]) {
    my ($name, @raws) = @$case;
    subtest "$name: what may be repeated" => sub {
        my $result = race($name, \@raws, 1000, qw(GET HEAD PUT DELETE));
        cmp_ok($result->{late}, '>', 0, 'some of them when the next request was on its way');
        is(said(%{$result->{failed}}), '', 'none fails');
        is($proxy->log->count(qr/failed on/), 0, 'it is nobody\'s failure');
    };
    $_->forget for @raws;
}

$t->expect_log(qr/(?:One|Two): member host\w failed on \S+: ended before its answer$|member host\w: .*suspect/);
for my $case (['One', $first], ['Two', @others]) {
    my ($name, @raws) = @$case;
    subtest "$name: what may not be repeated" => sub {
        my $result = race($name, \@raws, 500, 'POST');
        my %failed = %{$result->{failed}};
        my %came;
        $came{$_->{tag}}++ for grep {$_->{what} =~ /^(?:request|late)$/} map {$_->ledger} @raws;
        is(join(' ', grep {$came{$_} > 1} keys %came), '', 'none came twice');
        my @strange = grep {$failed{$_} !~ /^50[23] /} keys %failed;
        is(said(map {$_ => $failed{$_}} @strange), '', 'what fails is answered so');
        my $percent = 100 * keys(%failed) / $result->{asked};
        cmp_ok($percent, '<', FAILED_PERCENT_MAX, 'few fail');
    };
}

$t->done;
