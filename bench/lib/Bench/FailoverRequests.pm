# SPDX-License-Identifier: Apache-2.0
# Owns the requests that bench/failover sends while something happens to daemons: to a balanced
# application, and to an active-passive one, for which they wait in a queue while nobody is active.
package Bench::FailoverRequests;
use v5.36;

use List::Util qw(max sum0);
use Time::HiRes qw(sleep time);

use Bench::Cluster;

use HA::Service;

# Requests a second through each proxy; what happens lasts so long.
use constant {RATE => 100, SINGLE_RATE => 25, FAULT_SECONDS => 2, MOST_REQUESTS => 1_000_000, WAIT_SECONDS => 30, LOOK_SECONDS => 0.1};

# A cluster whose daemons reach one another through a relay. Its service is an instance as well.
sub new($class, $task)
{
    my $t = $task->{t};
    my $self = bless {t => $t, task => $task, faults => 0}, $class;
    my @ids = 0 .. Bench::Cluster::NODES - 1;
    my @places = map {'127.0.0.1:' . $t->port} @ids;
    my @files = $task->map_files('far');
    my %nodes = map {$_ => {mapFile => $files[$_], url => "http://$places[$_]"}} @ids;
    my $serves = sub ($id) { (HA::Test::top_builddir() . '/t/app/appd', "-name=$id", '-context=/Voting', "-listen=$places[$id]") };
    $self->{cluster} = Bench::Cluster->new($t, 'far', nodes => \%nodes, relay => 1, serves => $serves);
    $self->{cluster}->settled;
    $self->{proxies} = [$task->start_proxies('far', $self->{cluster}, \@files, _single(@places))];
    return $self;
}

# The configuration of the active-passive application, whose instances are there.
sub _single(@places)
{
    return join "\n", '<Proxy "balancer://Voting">', (map {qq(BalancerMember "http://$places[$_]" route=$_)} 0 .. $#places), '</Proxy>',
        'HABalancer Voting queue=1000 queue-timeout=20s', 'ProxyPass "/Voting" "balancer://Voting/Voting"', '';
}

# A change that all proxies follow, through whoever leads. Whether there was one.
sub _change($self, @zerods)
{
    my $said = '';
    for my $zerod (grep {$_->running} @zerods) {
        my ($do, %fields) = $self->{task}->change;
        $said = $zerod->order($do, %fields) // '';
        last if $said =~ /^done /;
    }
    return $said =~ /^done / ? 1 : 0;
}

sub _is_taken_over($self, $from)
{
    my $is_active = sub { grep {$_->running && $_->role eq 'active'} $self->{cluster}->others($from) };
    $self->{t}->wait_for($is_active, WAIT_SECONDS, 'another active one');
    return;
}

# What is done to a daemon, and undone. What is lost is the host of the active one, whose service moves.
my @faults = (
    killed => sub ($self, $zerod) { $zerod->kill } => sub ($self, $zerod) { $zerod->launch },
    paused => sub ($self, $zerod) { $zerod->pause } => sub ($self, $zerod) { $zerod->resume },
    cut => sub ($self, $zerod) { $self->{cluster}->relay->cut($zerod->{id}) } => sub ($self, $zerod) { $self->{cluster}->relay->heal },
    all => sub ($self, $zerod) { $_->kill for $self->{cluster}->all } => sub ($self, $zerod) { $_->launch for $self->{cluster}->all },
    lost => sub ($self, $zerod) { $zerod->lose($self->{cluster}->service) } => sub ($self, $zerod) { $self->_is_taken_over($zerod); $zerod->launch },
);

# One of them, to the leader and another one in turn; they are an odd number, so what the leader has
# suffered in one run another one does in the next. How often the map changed meanwhile.
sub _suffer($self, $name, $do, $undo)
{
    my $cluster = $self->{cluster};
    my $leader = $cluster->leader;
    my $turn = $self->{faults}++ % 2;
    my $zerod = $name eq 'lost' ? $cluster->settled : $turn ? ($cluster->others($leader))[0] : $leader;
    my $until = time + FAULT_SECONDS;
    $do->($self, $zerod);
    my $changes = 0;
    while (time < $until) {
        $changes += $self->_change($cluster->others($zerod));
        sleep LOOK_SECONDS;
    }
    $undo->($self, $zerod);
    $cluster->mend;
    return $changes;
}

sub _load($self, $path, $rate)
{
    my %how = (path => $path, rate => $rate, count => MOST_REQUESTS, timeout => WAIT_SECONDS);
    return map {$self->{t}->load(port => $_->port, %how)} @{$self->{proxies}};
}

# All of them, under load.
sub run($self)
{
    my @both = $self->_load('/App/', RATE);
    my @single = $self->_load('/Voting/plain', SINGLE_RATE);
    my $go_on = sub { $_->wait_progress($_->progress + SINGLE_RATE / 4) for @both, @single };
    my ($changes, @left) = (0, @faults);
    $go_on->();
    $changes += $self->_suffer(splice @left, 0, 3) while @left;
    $go_on->();
    $_->finish for @both, @single;
    my @of_both = map {$_->wait} @both;
    my @of_single = map {$_->wait} @single;
    return {
        sent => sum0(map {$_->{sent}} @of_both),
        sent_single => sum0(map {$_->{sent}} @of_single),
        longest => max(map {$_->{max_ms}} @of_single),
        failed => sum0(map {$_->{failed}} @of_both, @of_single),
        changes => $changes,
        failures => [map {@{$_->{failures}}} @of_both, @of_single],
    };
}

1;
