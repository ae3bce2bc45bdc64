# SPDX-License-Identifier: Apache-2.0
# Daemons are restarted one after the other, and killed at random, while clients send commands all
# the time: nothing that was acknowledged is lost or happens twice, whoever was asked, and the
# service runs on; nor do those notice it who send requests through a proxy that follows the map.
use v5.36;

use HA::History;
use HA::Map;
use HA::Mount qw(balancer faster);
use HA::Service;
use HA::Test;
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();

# A daemon that has lost the leader says so after LONG_SECONDS: no client is to come to that.
use constant {CLIENTS => 4, LEASE_MS => 8000, SOON => 30, STORM_MS => 20_000, LONG_SECONDS => 10};

# The history of clients, at its end.
sub ends_well($history, @zerods)
{
    $history->stop;
    my @done = grep {$_->{end} eq 'done'} $history->answers;
    cmp_ok(scalar @done, '>', 10, scalar(@done) . ' commands were carried out');
    return $history->is_linear(HA::Zerod::leader_of(@zerods));
}

# It is there again, and has all that the others have.
sub back($zerod, @all)
{
    my $caught_up = sub {
        my ($leader) = grep {($_->status // {})->{leads}} @all;
        my $own = $zerod->status // return 0;
        return $leader && ($own->{primary} // '') eq $leader->{id} && $leader->status->{version} - $own->{version} < 50;
    };
    return $zerod->{t}->wait_for($caught_up, SOON, "$zerod->{name} to be back");
}

{
    my $t = HA::Test->new;
    my $service = HA::Service->new($t, 'service');
    my $folder = $t->dir('proxy');
    mkdir $folder or die "$folder: $!\n";
    my @all = HA::Zerod->cluster($t, 'three', service => $service, map_file => {0 => "$folder/map"}, config => {timeout => LEASE_MS});
    my $leader = HA::Zerod::leader_of(@all);
    $t->wait_for(sub { join(' ', $service->alive) eq '0' }, SOON, 'the service');
    my $lives = scalar $service->lives;

    # Both are on their way before one of them is carried out.
    my @differ;
    for my $seq (1 .. 50) {
        my %command = (do => 'app-set', client => 'twice', seq => $seq, app => 'Twice', single => $seq % 2 ? \1 : \0);
        my @later = map {$leader->ask_later({ask => 'command', command => \%command})} 1 .. 2;
        my @answers = map {JSON::PP->new->canonical->encode($_->())} @later;
        push @differ, @answers if $answers[0] ne $answers[1] || $answers[0] !~ /"end":"done"/;
    }
    is(join('', @differ), '', 'a command that is asked for twice at once is answered twice alike');
    # hostC is in the map alone, so who gets its answers follows that.
    my %app = map {$_ => $t->app("host$_", ledger => 1)} qw(A B C);
    $leader->order('app-set', app => 'App', single => \0);
    $leader->order('member-set', app => 'App', admin => 'enabled', weight => 1, %{HA::Map::member($app{$_})}) for sort keys %app;
    my $proxy = $t->httpd(
        name => 'proxied', haproxy => 1, modules => [qw(proxy proxy_http)],
        config => "HAMap $folder/map\nHALane On\n" . balancer('App', [@app{qw(A B)}])
    );
    $t->wait_for(qr/App: member hostC: added by map/, SOON);
    my $load = $t->load(port => $proxy->port, path => '/App/plain', rate => faster(100, 30), count => 100_000, retry => 0);
    my $history = HA::History->new($t, @all);
    $history->begin(CLIENTS);
    for my $round (1 .. 2) {
        for my $zerod (@all) {
            is($zerod->stop, 0, "round $round: $zerod->{id} is stopped");
            $zerod->launch;
            back($zerod, @all);
        }
    }
    $load->finish;
    my $result = $load->wait;
    is($result->{failed}, 0, "no request of $result->{sent} through a proxy fails") or diag(explain($result->{failures}));
    cmp_ok($result->{instances}{hostC}, '>', $result->{sent} / 5, 'and it has followed the map all the time');
    my $admin = sub ($what) { $leader->order('member-set', app => 'App', weight => 1, %{HA::Map::member($app{C})}, admin => $what) };
    $leader = HA::Zerod::leader_of(@all);
    like($admin->('drain'), qr/^done/, 'a change after all that');
    $t->wait_for(qr/App: member hostC: enabled -> drain, by map/, SOON);
    is(spread($t->client(port => $proxy->port, cookies => 0), '/App/plain', 4), 'hostA:2 hostB:2', 'is followed, too');
    $proxy->stop;
    ends_well($history, @all);
    ok(scalar(grep {$_->{expect} ne '-'} $history->answers), 'some were by compare-and-set');
    cmp_ok($history->longest, '<', LONG_SECONDS, sprintf 'each was answered, after %.1f s at the latest', $history->longest);
    is(scalar $service->lives, $lives, 'H9: the service has run on, as it was');
    is(join(' ', $service->alive), '0', 'and does');
    is($service->overlap_ms, 0, 'never two at once');
    $_->stop for @all;
    $service->kill_all;
    $t->stop_all;
    is(join("\n", $t->problems), '', 'nothing unexpected');
    $t->remove;
}

my $t = HA::Test->new;
my $service = HA::Service->new($t, 'service');
my @all = HA::Zerod->cluster($t, 'storm', service => $service, config => {timeout => LEASE_MS});
HA::Zerod::leader_of(@all);
my $history = HA::History->new($t, @all);
$history->begin(CLIENTS);
my ($until, $kills) = (HA::Service::now_ms() + STORM_MS, 0);
srand($ENV{HA_SEED} // 118);
while (HA::Service::now_ms() < $until) {
    my @hit = grep {rand() < 0.5} @all;
    $_->kill for @hit;
    $kills += @hit;
    $_->launch for @hit;
    $t->wait_for(sub { grep {($_->status // {})->{leads}} @all }, SOON, 'one that leads');
    $t->wait_for(sub { !grep {!$_->status} @all }, SOON, 'all to run');
}
cmp_ok($kills, '>', 5, "$kills times a daemon was killed");
ends_well($history, @all);
is($service->overlap_ms, 0, 'never two services at once');
$_->stop for @all;
$service->kill_all;
$t->done;
