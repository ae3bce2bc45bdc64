# SPDX-License-Identifier: Apache-2.0
# The story that this software began with, statement by statement: two commands on the hosts of two
# instances, one on the proxy's, and an application that outlives each of its instances. Once with
# the distribution's httpd as it is, once with the module.
use v5.36;

use Cwd qw(getcwd);
use File::Path qw(remove_tree);

use HA::Test;
use HA::Zero;

my $t = HA::Test->new;
my $home = getcwd();
my @stock = qw(proxy proxy_http proxy_balancer slotmem_shm lbmethod_byrequests);
# What mod_proxy says of an instance that is gone, and what the lane does.
$t->expect_log(qr/AH(?:00957|00959|01114|01167)/, qr/: member host[AB] failed on .*: no connection$/);

# The folder of an application on the host of that instance.
sub application($root, $app)
{
    my ($name, $port) = ($app->name, $app->port);
    mkdir "$root/$_" for $name, "$name/config";
    spew("$root/$name/config/zero.config", <<~"END");
        /config/name = "App"
        /config/contextRoot = "/App"
        /config/http/ipAddress = "127.0.0.1"
        /config/http/port = $port
        /config/apacheRouteID = "$name"
        END
    return "$root/$name";
}

# Runs a command line in a folder: its exit code.
sub run_in($folder, @argv)
{
    chdir $folder or die "$folder: $!\n";
    my ($code, $out, $err) = zero(@argv);
    chdir $home;
    diag("zero @argv: $err") if $code;
    return $code;
}

# Who answers these sessions, each a few times.
sub sessions($client, @routes)
{
    return join ' ', map {spread($client, '/App/plain', 3, headers => {Cookie => "zsessionid=s1.$_"})} @routes;
}

for my $with ('stock httpd', 'the module') {
    my $ours = $with eq 'the module';
    my $root = $t->dir($ours ? 'ours' : 'stock');
    mkdir $root;
    my @apps = map {$t->app($_)} qw(hostA hostB);
    $_->restart for @apps;
    my ($a, $b) = @apps;
    my ($client, $httpd);

    subtest "Z1 with $with: generate writes a self-contained include for its instance" => sub {
        for my $app (@apps) {
            my $name = $app->name;
            my $folder = application($root, $app);
            is(run_in($folder, qw(modproxy generate), "-o=$name.conf"), 0, "on the host of $name");
            rename "$folder/$name.conf", "$root/$name.conf" or die "$name.conf: $!\n";
            my $alone = $t->httpd(modules => \@stock, haproxy => $ours, config => "Include $root/$name.conf");
            is($t->client(port => $alone->port)->get('/App/')->instance, $name, 'an Include of it serves');
            $alone->stop;
        }
    };

    subtest "Z2 with $with: merge writes one balancer, sticky by route, that httpd accepts" => sub {
        is(run_in($root, qw(modproxy merge -balancer -o=App.conf hostA.conf hostB.conf)), 0, 'merged');
        my $merged = slurp("$root/App.conf");
        is(scalar(() = $merged =~ /^ +BalancerMember /mg), 2, 'both are in it');
        is(run_in($root, qw(modproxy merge -balancer -o=again.conf hostB.conf hostA.conf)), 0, 'the other way');
        is(slurp("$root/again.conf"), $merged, 'byte for byte the same');
        $httpd = $t->httpd(modules => \@stock, haproxy => $ours, start => 0, config => "Include $root/App.conf");
        my ($good, $said) = $httpd->check;
        ok($good, 'httpd -t accepts Include App.conf') or diag $said;
        $httpd->start;
        $client = $t->client(port => $httpd->port, cookies => 0);
        is(spread($client, '/App/plain', 10), 'hostA:5 hostB:5', 'and both serve');
    };

    subtest "Z4 with $with: the session cookie keeps requests on their instance" => sub {
        my $user = $t->client(port => $httpd->port);
        my $first = $user->get('/App/')->instance;
        like($user->cookie('zsessionid'), qr/^[0-9a-f]{32}\.$first$/, 'ID.ROUTE, the route of /config/apacheRouteID');
        like($user->get('/App/')->body, qr/^$first visits=$_ /, "visit $_") for 2 .. 5;
        is(sessions($client, qw(hostA hostB)), 'hostA:3 hostB:3', 'whichever that is');
    };

    my $stateless = sub ($gone, $left) {
        $gone->stop;
        is(spread($client, '/App/plain', 10), $left->name . ':10', 'one stops, the other serves every request');
    };
    my $sticky = sub ($gone, $left) {
        my ($from, $to) = ($gone->name, $left->name);
        is(sessions($client, $to), "$to:3", 'sessions of the one that is left stay');
        my $moved = $client->get('/App/', headers => {Cookie => "zsessionid=session9.$from"});
        is($moved->body, "$to visits=1 session=session9\n", 'the next request of a lost one reaches the other, same id');
        my $told = $moved->header('Set-Cookie');
        is($told, $ours ? "zsessionid=session9.$to; Path=/App; HttpOnly" : undef,
            $ours ? 'with the new route in its answer' : 'the route is for the application to change');
    };

    subtest "Z3 with $with: one instance stops, the other serves, nothing is reconfigured" => sub {
        my $config = slurp($httpd->conf) . slurp("$root/App.conf");
        $stateless->($a, $b);
        is(slurp($httpd->conf) . slurp("$root/App.conf"), $config, 'from the same files');
        $sticky->($a, $b);
        $a->start;
        $httpd->graceful;
        ok($t->wait_for(sub { spread($client, '/App/plain', 10) eq 'hostA:5 hostB:5' }), 'both, once it is back');
    };

    subtest "Z7 with $with: with nobody to ask, Z3 and Z4 hold from the last file" => sub {
        remove_tree($root);
        ok(!-e $root, 'fragments, merged file and applications\' folders are gone');
        $httpd->kill_children;
        is(sessions($client, qw(hostA hostB)), 'hostA:3 hostB:3', 'Z4: new children know where sessions are');
        $stateless->($b, $a);
        $sticky->($b, $a);
        $b->start;
        $httpd->stop;
    };
}

$t->done;
