# SPDX-License-Identifier: Apache-2.0
# The applications of examples/ behind a real proxy with two memcached: a cart outlives its instance, a
# login and a logout hold wherever the session goes.
use v5.36;

use HA::Mount qw(balancer);
use HA::Test;
use HA::Zone qw(each_way without);

my $t = HA::Test->new;
# Instances are killed on purpose.
$t->expect_log(qr/App: member host\w+ failed on|App: member host\w+: .*(?:suspect|down)|AH00957|AH01114/);

# What an instance says to a client: "hostA cart=pear".
sub ask($client, $page)
{
    my $answer = $client->get("/App/$page");
    return $answer->status == 200 ? $answer->body =~ s/\n\z//r : 'status ' . $answer->status;
}

# What a session of that cookie has, for somebody who has only that.
sub ask_as($proxy, $cookie)
{
    my $client = $t->client(port => $proxy->port);
    $client->set_cookie(zsessionid => $cookie);
    return ask($client, 'cart');
}

sub id_of($client)
{
    return ($client->cookie('zsessionid') // '') =~ s/\.\w+\z//r;
}

sub story($proxy, @instances)
{
    my $client = $t->client(port => $proxy->port);
    my ($name) = ask($client, 'cart?add=pear') =~ /^(\w+) cart=pear$/;
    my ($here) = grep {$_->name eq ($name // '')} @instances;
    die "nobody has begun a cart\n" if !$here;
    my ($there) = grep {$_ != $here} @instances;
    my ($one, $two) = map {$_->name} $here, $there;
    is(ask($client, 'cart?add=fig'), "$one cart=pear,fig", 'a cart is filled');

    my $first = id_of($client);
    without($t, $here, sub {
        is(ask($client, 'cart?add=nut'), "$two cart=pear,fig,nut", 'its instance is killed: the other one goes on');
        is($client->cookie('zsessionid'), "$first.$two", 'the same session, on its new route');
    });
    is(ask($client, 'cart'), "$two cart=pear,fig,nut", 'where it stays when the first one is back');

    is(ask($client, 'login?user=ann'), "$two user=ann", 'a login');
    my $second = id_of($client);
    isnt($second, $first, 'gives the session a new id');
    is(ask_as($proxy, "$first.$two"), "$two cart=", 'who has the old id has nothing');
    without($t, $there, sub {
        is(ask($client, 'cart?add=plum'), "$one cart=pear,fig,nut,plum", 'the new id outlives an instance too');
        is(ask_as($proxy, "$first.$two"), "$one cart=", 'and the old one does not');
    });

    is(ask($client, 'logout'), "$one bye", 'a logout');
    is($client->cookie('zsessionid'), undef, 'takes the cookie back');
    is(ask_as($proxy, "$second.$one"), "$one cart=", 'who has kept it has nothing');
    without($t, $here, sub {
        is(ask_as($proxy, "$second.$one"), "$two cart=", 'nor on the other instance, when the first is killed');
    });
    return;
}

# Cookies that nobody has a session for, or the proxy carries as if there were no zone: a client can
# always begin anew.
sub goes_on_without($proxy)
{
    my $client = $t->client(port => $proxy->port, cookies => 0);
    for my $cookie ('of-old.hostA', 'of-old.hostB', 'of-old', 'one.hostA; zsessionid=two.hostB') {
        my $answer = $client->get('/App/cart?add=pear', headers => {Cookie => "zsessionid=$cookie"});
        is($answer->status, 200, "zsessionid=$cookie is no hindrance");
        like($answer->header('Set-Cookie'), qr{^zsessionid=[\w-]{32}\.host[AB]; Path=/App;}, 'to a new session');
    }
    return;
}

for my $language (HA::Example::languages()) {
    subtest "examples/$language" => sub {
        my $runs = HA::Example::runs($language);
        plan(skip_all => "$runs is not here") if !HA::Example::is_here($language);
        my @instances = map {$t->example($language, "host$_")} qw(A B);
        my $tell = sub ($proxy, @) {
            story($proxy, @instances);
            goes_on_without($proxy);
        };
        each_way($t, \@instances, $tell, stores => ['memcached']);
        subtest 'without a zone' => sub {
            my $plain = $t->httpd(
                name => "plain-$language", haproxy => 1, modules => [qw(proxy proxy_http)],
                config => balancer('App', \@instances),
            );
            goes_on_without($plain);
            $plain->stop;
        };
        $_->kill for @instances;
    };
}

$t->done;
