# SPDX-License-Identifier: Apache-2.0
# Owns a load of commands on a cluster of daemons, and the judgement of what was answered: clients
# that each set a member of their own, one that all change by compare-and-set, and look by a command
# that changes nothing; each asks again, another node, with the same client and seq until there is an
# answer. The value that is set is the port of the member's URL. What a node's map file shows may be
# old, but does not go back, and is what was agreed on.
package HA::History;
use v5.36;

use HA::Maps;
use HA::Test;
use List::Util qw(max);
use Time::HiRes qw(CLOCK_MONOTONIC clock_gettime sleep);

use constant {APP => 'Work', SHARED => 'shared', LOOK => 'look', AGAIN_SECONDS => 0.05, PORT_BASE => 1000, PORTS => 8000};

sub new($class, $t, @zerods)
{
    my $self = bless {t => $t, zerods => [@zerods], pids => [], stop => $t->dir('history.stop')}, $class;
    $t->wait_for(sub { ($zerods[0]->order('app-set', app => APP, single => \0) // '') =~ /^(?:done|unchanged)/ }, 20, 'the application of the load');
    return $self;
}

sub now() { return clock_gettime(CLOCK_MONOTONIC) }

# Clients from now on, until stop(): `n` of them, and an HA::Maps. Options: patience => seconds after
# which another node is asked; quiet => share of each second in which nothing new is asked for, so
# that all can have the same map.
sub begin($self, $n, %opt)
{
    my $t = $self->{t};
    %$self = (%$self, %opt);
    push @{$self->{pids}}, $t->spawn("client$_", code => sub { $self->_client($_) }) for 1 .. $n;
    $self->{maps} = HA::Maps->new($t, @{$self->{zerods}});
    return;
}

sub _open($self, $name)
{
    open(my $out, '>', $self->{t}->dir("history.$name")) or die "history: $!\n";
    $out->autoflush(1);
    for my $zerod (@{$self->{zerods}}) {
        delete $zerod->{socket};
        $zerod->{patience} = $self->{patience};
    }
    srand $$;
    return $out;
}

# The answer to a command, whoever gives it at last: undef when the load is over.
sub _carry_out($self, %command)
{
    while (!-e $self->{stop}) {
        my $zerod = $self->{zerods}[rand @{$self->{zerods}}];
        my $answer = $zerod->ask({ask => 'command', command => \%command});
        return $answer if $answer && !$answer->{error};
        sleep AGAIN_SECONDS;
    }
    return undef;
}

# What client `i` does next: (what it is about, the command).
sub _command($self, $i, $seq)
{
    return (LOOK, do => 'app-set', app => APP, single => \0) if $seq % 4 == 0;
    my %member = (do => 'member-set', app => APP, weight => 1, admin => 'enabled', url => "http://192.0.2.$i:" . (PORT_BASE + $i * PORTS + $seq));
    my $map = $seq % 4 == 2 ? $self->{zerods}[rand @{$self->{zerods}}]->map : undef;
    return $map ? (SHARED, %member, route => SHARED, expect => $map->{version}) : ("own$i", %member, route => "own$i");
}

# Lines: KEY VALUE EXPECTED END VERSION FROM TO WHY. The last one may have had no answer: it is "lost".
sub _client($self, $i)
{
    my $out = $self->_open("client$i");
    for (my $seq = 1; !-e $self->{stop}; $seq++) {
        sleep AGAIN_SECONDS while 1 - now() + int now() < ($self->{quiet} // 0);
        my ($key, %command) = $self->_command($i, $seq);
        my ($value) = ($command{url} // ':0') =~ /:(\d+)$/;
        my $from = now();
        my $answer = $self->_carry_out(%command, client => "load$i", seq => $seq) // {end => 'lost', version => 0, why => ''};
        say $out join ' ', $key, $value, $command{expect} // '-', $answer->{end}, $answer->{version}, $from, now(), $answer->{why};
    }
    return;
}

sub stop($self)
{
    $self->{t}->write_file('history.stop', '');
    $self->{t}->wait_end($_, 30) for @{$self->{pids}};
    $self->{maps}->stop;
    return;
}

sub _lines($self, $name)
{
    open(my $in, '<', $self->{t}->dir("history.$name")) or return;
    chomp(my @lines = <$in>);
    return map {[split / /]} @lines;
}

# All answers of clients: {who, key, value, expect, end, version, from, to}.
sub answers($self)
{
    my @answers;
    for my $i (1 .. @{$self->{pids}}) {
        for my $line ($self->_lines("client$i")) {
            my %answer = (who => "client $i");
            @answer{qw(key value expect end version from to)} = @$line;
            push @answers, \%answer;
        }
    }
    return @answers;
}

# The longest time, in seconds, that somebody waited for an answer.
sub longest($self)
{
    return max(map {$_->{to} - $_->{from}} $self->answers);
}

# Asserts that nothing is wrong with it all. Shows the first that is.
sub is_linear($self, $leader)
{
    my @problems = $self->problems($leader);
    splice @problems, 10 if @problems > 10;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is(join("\n", @problems), '', 'what was acknowledged is there, in order, once');
}

# What is wrong with it all, a line each. The last map is the leader's, once that has written it.
sub problems($self, $leader)
{
    my $is_written = sub { my $status = $leader->status // {}; defined $status->{version} && $status->{written} >= $status->{version} };
    $self->{t}->wait_for($is_written, 20, "the map of $leader->{name}");
    my @looks = (@{$self->{maps}->seen}, {%{HA::Maps::look_at($leader)}, node => 'the leader'});
    for my $look (@looks) {
        my %members = %{$look->{members} // {}};
        for my $key (keys %members) {
            my ($app, $route) = split m{/}, $key, 2;
            ($look->{values}{$route}) = $members{$key} =~ /:(\d+)$/ if $app eq APP;
        }
    }
    return wrong_with([$self->answers], \@looks);
}

# --- the judgement --------------------------------------------------------------------------------

# What is wrong with these answers and looks, of which the last one is after all and of all.
sub wrong_with($answers, $looks)
{
    my $end = $looks->[-1];
    my %made;
    return (
        (map {_wrong_end($_)} @$answers),
        (map {_made_twice($_, \%made)} grep {$_->{end} eq 'done'} @$answers),
        _wrong_order(@$answers, {who => $end->{node}, key => LOOK, end => 'unchanged', version => $end->{version}, from => $end->{from}, to => $end->{to}}),
        HA::Maps::wrongs_in(@$looks),
        _too_early($looks, \%made),
        _wrong_values($answers, $looks)
    );
}

sub _name($answer) { return "$answer->{who}, $answer->{key} $answer->{version}" }

# Ends that such a command cannot have. One that is asked for again and changes nothing has been
# carried out twice.
sub _wrong_end($answer)
{
    my ($key, $expect, $end, $version) = @$answer{qw(key expect end version)};
    my $ends = $key eq LOOK ? qr/unchanged|lost/ : $key eq SHARED ? qr/done|conflict|lost/ : qr/done|lost/;
    return _name($answer) . ": $end" if $end !~ /^(?:$ends)$/;
    return () if $key ne SHARED;
    return _name($answer) . ": done for version $expect" if $end eq 'done' && $version != $expect + 1;
    return _name($answer) . ": a conflict with version $expect" if $end eq 'conflict' && $version == $expect;
    return ();
}

sub _made_twice($answer, $made)
{
    my $other = $made->{$answer->{version}};
    $made->{$answer->{version}} //= $answer;
    return $other ? 'version made twice: by ' . _name($other) . ', and by ' . _name($answer) : ();
}

# What was answered before another one was asked for has a lower version, or the same one if that
# changes nothing: whoever asked, and whom.
sub _wrong_order(@answers)
{
    my ($last, @wrong) = ({version => 0});
    my @ended = sort {$a->{to} <=> $b->{to}} grep {$_->{end} ne 'lost'} @answers;
    for my $answer (sort {$a->{from} <=> $b->{from}} grep {$_->{end} ne 'lost'} @answers) {
        while (@ended && $ended[0]{to} < $answer->{from}) {
            my $one = shift @ended;
            $last = $one if $one->{version} > $last->{version};
        }
        my $least = $last->{version} + ($answer->{end} eq 'done' ? 1 : 0);
        push @wrong, _name($answer) . ': begun after the end of ' . _name($last) if $answer->{version} < $least && $last->{who};
    }
    return @wrong;
}

# Nobody has a version before it was asked for.
sub _too_early($looks, $made)
{
    my @early = grep {my $maker = $made->{$_->{version}}; $maker && $_->{to} < $maker->{from}} @$looks;
    return map {"node $_->{node}: too early for " . _name($made->{$_->{version}})} @early;
}

# A value is that of the last change up to the version, or of one that nobody was told of.
sub _wrong_values($answers, $looks)
{
    my (%now, %untold, @wrong);
    my @done = sort {$a->{version} <=> $b->{version}} grep {$_->{end} eq 'done'} @$answers;
    $untold{"$_->{key} $_->{value}"} = 1 for grep {$_->{end} eq 'lost'} @$answers;
    my %keys = map {$_->{key} => 1} grep {$_->{key} ne LOOK} @$answers;
    for my $look (sort {$a->{version} <=> $b->{version}} @$looks) {
        while (@done && $done[0]{version} <= $look->{version}) {
            my $one = shift @done;
            $now{$one->{key}} = $one->{value};
        }
        for my $key (sort keys %keys) {
            my ($is, $must) = ($look->{values}{$key} // 'nothing', $now{$key} // 'nothing');
            push @wrong, "node $look->{node}, version $look->{version}: $key is $is, and not $must" if $is ne $must && !$untold{"$key $is"};
        }
    }
    return @wrong;
}

1;
