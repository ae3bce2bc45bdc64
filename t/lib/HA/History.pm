# SPDX-License-Identifier: Apache-2.0
# Owns a load of commands on a cluster of daemons, and the judgement of what was answered: clients
# that each set a member of their own, one that all change by compare-and-set, and look by a command
# that changes nothing; each asks again, another node, with the same client and seq until there is an
# answer. The value that is set is the port of the member's URL. What a node's map file shows may be
# old, but does not go back, and is what was agreed on.
package HA::History;
use v5.36;

use HA::Test;
use HA::Zerod;
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

# Clients from now on, until stop(): `n` of them, and one that looks at the maps. Options: patience =>
# seconds after which another node is asked; quiet => share of each second in which nothing new is
# asked for, so that all can have the same map.
sub begin($self, $n, %opt)
{
    my $t = $self->{t};
    %$self = (%$self, %opt);
    push @{$self->{pids}}, $t->spawn("client$_", code => sub { $self->_client($_) }) for 1 .. $n;
    push @{$self->{pids}}, $t->spawn('looker', code => sub { $self->_look });
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

# The words of a look at a map: NODE VERSION FROM TO SUM KEY=VALUE ...
sub _seen($node, $from, $text)
{
    my ($map, $sum) = (HA::Zerod::map_of($text), $text =~ /^\S+ \S+ \S+ (\S+)/);
    my ($app) = grep {$_->{name} eq APP} @{$map->{apps}};
    return ($node, $map->{version}, $from, now(), $sum, map {"$_->{route}=" . ($_->{url} =~ /:(\d+)$/)[0]} grep {$_->{url}} @{$app->{members} // []});
}

sub _look($self)
{
    my $out = $self->_open('looker');
    while (!-e $self->{stop}) {
        for my $zerod (@{$self->{zerods}}) {
            my $from = now();
            my $text = $zerod->map_text // next;
            say $out join ' ', _seen($zerod->{id}, $from, $text);
        }
        sleep AGAIN_SECONDS;
    }
    return;
}

sub stop($self)
{
    $self->{t}->write_file('history.stop', '');
    $self->{t}->wait_end($_, 30) for @{$self->{pids}};
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
    for my $i (1 .. @{$self->{pids}} - 1) {
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
    my @looks;
    my $is_written = sub { my $status = $leader->status // {}; defined $status->{version} && $status->{written} >= $status->{version} };
    $self->{t}->wait_for($is_written, 20, "the map of $leader->{name}");
    for my $line ($self->_lines('looker'), [_seen('the leader', now(), $leader->map_text)]) {
        my %look;
        (@look{qw(node version from to sum)}, my @values) = @$line;
        push @looks, {%look, values => {map {split /=/} @values}};
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
        _wrong_looks($looks, \%made),
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

# No node's map goes back, and the same version is the same bytes, which nobody has before they were
# asked for.
sub _wrong_looks($looks, $made)
{
    my (%last, %sum, @wrong);
    for my $look (@$looks) {
        my ($node, $version) = @$look{qw(node version)};
        my $maker = $made->{$version};
        push @wrong, "node $node: version $version after $last{$node}" if $version < ($last{$node} // 0);
        push @wrong, "node $node: another version $version" if ($sum{$version} //= $look->{sum}) ne $look->{sum};
        push @wrong, "node $node: too early for " . _name($maker) if $maker && $look->{to} < $maker->{from};
        $last{$node} = $version;
    }
    return @wrong;
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
