# SPDX-License-Identifier: Apache-2.0
# Owns the proof that a contender does what is going to be measured: status, length, connections
# that stay open, sessions that stay on their member. Does not measure.
package Bench::Verify;
use v5.36;

use HA::Client;

use Bench::Load;

use constant {TIMEOUT_SECONDS => 30, SPREAD_REQUESTS => 20};

sub _client($contender)
{
    return HA::Client->new(
        port => $contender->port,
        cookies => 0,
        retry => 0,
        timeout => TIMEOUT_SECONDS
    );
}

# Who answered a small request.
sub _member($response)
{
    return $response->body =~ /^(m\d+) received / ? $1 : 'status ' . $response->status;
}

sub _answer($contender, $workload)
{
    my $client = _client($contender);
    my @body = $workload->{upload} ? (body => 'x' x $workload->{upload}) : ();
    my @close = $workload->{close} ? (headers => [Connection => 'close']) : ();
    # The second one shows that the connection was kept; it is not worth another slow answer.
    for (1 .. ($workload->{path} eq '/slow' ? 1 : 2)) {
        my $response = $client->request(@$workload{qw(method path)}, @body, @close);
        my $got = length $response->body;
        die 'status ' . $response->status . ' ' . ($response->error // '') . "\n"
            if $response->status != 200;
        die "$got bytes of body instead of $workload->{answer}\n" if $got != $workload->{answer};
        die "an upload of $workload->{upload} bytes: " . $response->body
            if $workload->{upload} && $response->body !~ / received $workload->{upload} bytes/;
        die "the connection was closed after an answer\n"
            if !$workload->{close} && !$client->socket;
        die "the connection was kept open\n" if $workload->{close} && $client->socket;
    }
    return;
}

# Sessions stay where their cookie says, in turn and back, and where the application began them.
sub _sticks($contender)
{
    my $routes = $contender->{routes};
    my $client = _client($contender);
    for my $route (@$routes, $routes->[0]) {
        my $cookie = Bench::Load::session_cookie(1, $route);
        my $who = _member($client->get('/', headers => [Cookie => $cookie]));
        die "a session of $route went to $who\n" if $who ne $route;
    }
    my $browser = HA::Client->new(port => $contender->port);
    my $began = _member($browser->get('/login'));
    die "/login gave no session\n" if !defined $browser->cookie('zsessionid');
    for (1 .. 4) {
        my $who = _member($browser->get('/'));
        die "a session that $began began went to $who\n" if $who ne $began;
    }
    return;
}

sub _spreads($contender)
{
    my $client = _client($contender);
    my %seen;
    $seen{_member($client->get('/'))}++ for 1 .. SPREAD_REQUESTS;
    die 'requests without a session all went to ' . join(' ', keys %seen) . "\n" if keys %seen < 2;
    return;
}

# Dies with a sentence when something is not as it should be.
sub check($contender, $workload)
{
    _answer($contender, $workload);
    return if !$contender->balances;
    _sticks($contender);
    _spreads($contender);
    return;
}

1;
