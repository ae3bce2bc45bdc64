# SPDX-License-Identifier: Apache-2.0
# Owns running a workload: starting who takes part, rounds in turn, and what is measured in each.
# Does not compare or print.
#
# A round's result: {requests, seconds, bytes, rps, cpu_us (of CPU a request), core (share of the
# proxies' core), p50_us, p99_us, errors => {kind => n}, memory (bytes)}, and by kind of workload:
# idle {idle_clients, idle_bytes (of memory a client)}; log {log_us (of CPU a request)}; half
# {saturation_rps}.
package Bench::Measure;
use v5.36;

use List::Util qw(sum0);

use Bench::Backend;
use Bench::Contender;
use Bench::Machine;
use Bench::Verify;

use constant {WARM_SECONDS => 0.2, US_A_SECOND => 1_000_000, OTHER_DESCRIPTORS => 500};

# What each kind does: how many instances it needs and how each of them differs, whether they start
# anew for each round, and the sub that measures.
my %kinds = (
    closed => {instances => [{}], round => \&_closed},
    burst => {instances => [{}], round => \&_burst},
    log => {instances => [{}, {log => 1}], round => \&_log},
    half => {instances => [{}], round => \&_half},
    idle => {instances => [{}], anew => 1, round => \&_idle},
);

# Options: load => Bench::Load; rounds; seconds; skipped => {name => why}; progress => sub($text),
# called before each step; stopped => sub that dies when the run is to end.
sub new($class, $t, %opt)
{
    return bless {t => $t, %opt}, $class;
}

# --- a sample -------------------------------------------------------------------------------------

# Runs a load, and adds to its result what it cost the proxy.
sub _sample($contender, $workload, $send)
{
    my $before = Bench::Machine::cpu_seconds($contender->pid);
    my $result = $send->();
    my $cpu = Bench::Machine::cpu_seconds($contender->pid) - $before;
    my $requests = $result->{requests};
    die "no request was answered\n" if !$requests;
    $result->{rps} = $requests / $result->{seconds};
    $result->{cpu_us} = $cpu * US_A_SECOND / $requests;
    $result->{core} = $cpu / $result->{seconds};
    $result->{memory} = Bench::Machine::memory_bytes($contender->pid);
    # Where all were answered, all have had their bodies.
    my $errors = $result->{errors};
    my $short = !sum0(values %$errors) && $result->{bytes} < $requests * $workload->{answer};
    $errors->{short} = $short ? 1 : 0;
    return $result;
}

sub _closed($self, $contender, $workload)
{
    return _sample($contender, $workload,
        sub { $self->{load}->closed($contender, $workload, $self->{seconds}) });
}

sub _burst($self, $contender, $workload)
{
    return _sample($contender, $workload, sub { $self->{load}->burst($contender, $workload) });
}

# The two instances take turns, so that what disturbs one disturbs the other as well.
sub _log($self, $contender, $workload, $logging)
{
    my $without = $self->_closed($contender, $workload);
    my $result = $self->_closed($logging, $workload);
    $result->{log_us} = $result->{cpu_us} - $without->{cpu_us};
    $result->{errors}{$_} += $without->{errors}{$_} for keys %{$without->{errors}};
    return $result;
}

# Each at half of what it can do itself.
sub _half($self, $contender, $workload)
{
    my $most = $self->_closed($contender, $workload);
    my $send =
        sub { $self->{load}->paced($contender, $workload, $self->{seconds}, $most->{rps} / 2) };
    my $result = _sample($contender, $workload, $send);
    $result->{saturation_rps} = $most->{rps};
    return $result;
}

# How many idle clients a proxy can have here: the forwarder and others need two descriptors each.
sub _idle_clients
{
    my $possible = int((Bench::Machine::descriptors() - OTHER_DESCRIPTORS) / 2);
    my $wanted = Bench::Workload::IDLE_CLIENTS();
    return $possible < $wanted ? $possible : $wanted;
}

sub _idle($self, $contender, $workload)
{
    my $load = $self->{load};
    my $before = Bench::Machine::memory_bytes($contender->pid);
    my $idle = $load->hold_idle($contender, $workload, _idle_clients());
    my $after = Bench::Machine::memory_bytes($contender->pid);
    my $result = $self->_closed($contender, $workload);
    my $lost = $load->let_go($idle) + _idle_clients() - $idle->{held};
    $result->{errors}{idle_lost} = $lost;
    $result->{idle_clients} = $idle->{held};
    $result->{idle_bytes} = ($after - $before) / $idle->{held}
        if $idle->{held} && defined $before && defined $after;
    return $result;
}

# --- who takes part -------------------------------------------------------------------------------

sub _start($self, $entrant, $workload, $backend)
{
    my $kind = $kinds{$workload->{kind}};
    for my $difference (@{$kind->{instances}}) {
        my $contender = Bench::Contender->new(
            $self->{t}, $entrant->{name},
            members => $backend->ports,
            routes => $backend->routes,
            threads => $workload->{threads},
            idle => $workload->{kind} eq 'idle' ? _idle_clients() : 0,
            %$difference
        );
        push @{$entrant->{instances}}, $contender;
        $contender->start;
        Bench::Verify::check($contender, $workload);
        $self->{load}->warm_up($contender, $workload, WARM_SECONDS)
            if $workload->{kind} ne 'burst';
    }
    return;
}

sub _stop($entrant)
{
    $_->stop for splice @{$entrant->{instances}};
    return;
}

# Runs a part of the work for one of them. What goes wrong there is its result, and ends it.
sub _guard($self, $entrant, $code)
{
    return if $entrant->{status} ne 'measured';
    return if eval { $code->(); 1 };
    my $why = $@ =~ s/\s+$//r;
    $self->{stopped}->() if $self->{stopped};
    @$entrant{qw(status why)} = ('failed', $why);
    _stop($entrant);
    return;
}

sub _round($self, $entrant, $workload, $backend)
{
    my $kind = $kinds{$workload->{kind}};
    $self->_start($entrant, $workload, $backend) if $kind->{anew};
    my $result = $kind->{round}->($self, $entrant->{instances}[0], $workload,
        @{$entrant->{instances}}[1 .. $#{$entrant->{instances}}]);
    push @{$entrant->{rounds}}, $result;
    _stop($entrant) if $kind->{anew};
    return;
}

# Runs a workload with those of `only` that take part in it. A list of entrants: {name, status =>
# measured|skipped|failed, why, rounds => [results]}.
sub run($self, $workload, @only)
{
    my %only = map {$_ => 1} @only;
    my @names = grep {$only{$_}} @{$workload->{contenders}};
    my $backend = Bench::Backend->start($self->{t}, $workload->{members});
    my @entrants;
    for my $name (@names) {
        my $why = $self->{skipped}{$name};
        my $status = defined $why ? 'skipped' : 'measured';
        my $entrant = {name => $name, status => $status, why => $why, rounds => []};
        push @entrants, $entrant;
        $self->{progress}->("starting $name");
        $self->_guard($entrant, sub { $self->_start($entrant, $workload, $backend) })
            if !$kinds{$workload->{kind}}{anew};
    }
    for my $round (1 .. $self->{rounds}) {
        for my $entrant (@entrants) {
            $self->{progress}->("round $round of $self->{rounds}: $entrant->{name}");
            $self->_guard($entrant, sub { $self->_round($entrant, $workload, $backend) });
        }
        # Whoever was first is last in the next round.
        push @entrants, shift @entrants if @entrants;
    }
    _stop($_) for @entrants;
    $backend->stop;
    my %at = map {$names[$_] => $_} 0 .. $#names;
    return sort {$at{$a->{name}} <=> $at{$b->{name}}} @entrants;
}

1;
