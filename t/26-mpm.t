# SPDX-License-Identifier: Apache-2.0
# The whole story in short under each MPM, and with the module loaded before and after mod_proxy.
use v5.36;

use HA::Test;

my $t = HA::Test->new;
my %app = map {$_ => $t->app($_)} qw(hostA hostB);
my %threads = (
    event => <<~'END',
        StartServers 2
        ServerLimit 8
        ThreadsPerChild 8
        MaxRequestWorkers 64
        MinSpareThreads 8
        MaxSpareThreads 64
        END
    prefork => <<~'END',
        StartServers 6
        ServerLimit 32
        MaxRequestWorkers 32
        MinSpareServers 2
        MaxSpareServers 32
        END
);
$threads{worker} = $threads{event};

sub server($mpm, $order, %opt)
{
    return $t->httpd(
        name => "$mpm-$order",
        %opt,
        mpm => $mpm,
        mpm_config => $threads{$mpm},
        haproxy => $order,
        modules => [qw(proxy proxy_http)],
        config => <<~"END",
            <Proxy "balancer://App">
                BalancerMember "${\$app{hostA}->url}" route=hostA
                BalancerMember "${\$app{hostB}->url}" route=hostB
                ProxySet stickysession=zsessionid
            </Proxy>
            ProxyPass        "/App" "balancer://App/App"
            ProxyPassReverse "/App" "balancer://App/App"
            HABalancer App
            HACheck    App uri=/App/health interval=300ms timeout=200ms
            <Location "/ha">
                SetHandler ha-health
            </Location>
            END
    );
}

# A load of this server. An idle connection holds a process of prefork, so there it makes new ones.
sub load($server, $count)
{
    my @how = (port => $server->port, path => '/App/plain', rate => 200);
    return $t->load(@how, count => $count, keep_alive => $server->mpm ne 'prefork');
}

sub usable($client)
{
    return $client->get('/ha/App')->body =~ /^usable (\d+ of \d+), .*in flight 0$/ ? $1 : 'unclear';
}

sub story($server)
{
    my $client = $t->client(port => $server->port, cookies => 0);
    my $user = $t->client(port => $server->port);
    $t->wait_for(qr/member $_: unknown -> up/) for qw(hostA hostB);
    my @children = $server->children;

    is(spread($client, '/App/plain', 20), 'hostA:10 hostB:10', 'even shares');
    my $home = $user->get('/App/')->instance;
    my ($other) = grep {$_ ne $home} qw(hostA hostB);
    is(spread($user, '/App/', 5), "$home:5", 'a session stays');
    is(usable($client) . ', ' . $client->get('/ha/')->body, "2 of 2, serving\n", 'ha-health');

    # A request that is under way at that moment is not repeated on this path, so there is none.
    $t->expect_log(qr{AH00957|AH01114});
    $t->kill($home);
    my $load = load($server, 200);
    $t->wait_for(qr{member $home: up -> down});
    my $result = $load->wait;
    is($result->{failed}, 0, "$home is killed: no request fails") or diag explain $result;
    is($user->get('/App/')->instance, $other, 'its session moves');
    like($user->cookie('zsessionid'), qr/\.$other$/, 'and its cookie says so');
    is(usable($client), '1 of 2', 'ha-health knows');

    $t->start($home);
    $t->wait_for(qr/member $home: down -> up/);
    # The first request after a change has the schedule laid out anew.
    $t->wait_for(sub { $client->get('/App/plain')->instance eq $home });
    is(spread($client, '/App/plain', 20), 'hostA:10 hostB:10', "$home is back: even shares");
    is(spread($user, '/App/', 3), "$other:3", 'the session stays where it is now');
    my %now = map {$_ => 1} $server->children;
    is(scalar(grep {!$now{$_}} @children), 0, 'no child has died in all that');

    $load = load($server, 100);
    $load->wait_progress(30);
    $server->graceful;
    is($load->wait->{failed}, 0, 'a graceful restart: no request fails');
    is(spread($client, '/App/plain', 20), 'hostA:10 hostB:10', 'even shares');
    is(spread($user, '/App/', 3), "$other:3", 'the session stays');
    is(usable($client), '2 of 2', 'ha-health knows');
    $server->stop;
    is($server->log->count(qr/exit signal/), 0, 'and nobody crashed');
    $t->mark;
    return;
}

my @runs = (
    ['event', 'first', 'event, loaded before mod_proxy as the alphabet has it'],
    ['event', 'last', 'event, loaded after mod_proxy'],
    ['worker', 'first', 'worker'],
    ['prefork', 'first', 'prefork'],
);
for my $run (@runs) {
    my ($mpm, $order, $name) = @$run;
    subtest $name => sub {
        story(server($mpm, $order));
    };
}

# All is in one process, which unloads the module before it ends.
for my $mpm (qw(event worker prefork)) {
    subtest "httpd -X, $mpm" => sub {
        my $server = server($mpm, 'first', single => 1, name => "$mpm-X");
        my $client = $t->client(port => $server->port, cookies => 0, keep_alive => 0);
        is($client->get('/App/plain')->status, 200, 'serves');
        $t->wait_for(qr/member $_: unknown -> up/) for qw(hostA hostB);
        $server->stop;
        pass('and ends');
    };
}

subtest 'the module shows one symbol to others' => sub {
    my $module = HA::Test::module_path();
    my @names = map {(split)[-1]} qx(nm -D --defined-only '$module');
    is("@names", 'haproxy_module', 'its record');
};

$t->done;
