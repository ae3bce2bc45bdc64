# SPDX-License-Identifier: Apache-2.0
# Owns what bench/compare is told on its command line. Does not know what a name means.
package Bench::Options;
use v5.36;

use Bench::Contender;
use Bench::Workload;

use constant {ROUNDS => 5, SECONDS => 5, MOST_ROUNDS => 1000, MOST_SECONDS => 3600};

my $help = <<~'END';
    Compares mod_haproxy with stock httpd, HAProxy, nginx and a blind forwarder, in one run on
    loopback.

      bench/compare [OPTION...]

      --quick             a round of 1 s of a few workloads: under a minute in all
      --workload=NAME,... only these
      --only=NAME,...     only these contenders
      --rounds=N          how often each is measured, in turn (5)
      --seconds=S         how long, in whole seconds (5)
      --load=wrk|own      who sends the load where both can: wrk if it is there, else our own
      --json=FILE         where all numbers go (bench/compare.json in the build's folder)
      --list              workloads and contenders, and which are skipped here
      --help              this text

    doc/performance.md says what each workload is, and how to read the table.
    END

# The names of the options, as an error shows them.
sub _allowed
{
    return join ', ', $help =~ /^ {2}(--[a-z]+(?:=\S+)?)/mg;
}

sub _number($name, $text, $most)
{
    die "--$name=$text is not a whole number from 1 to $most\n"
        if $text !~ /^[1-9]\d{0,5}$/ || $text > $most;
    return 0 + $text;
}

sub _names($what, $text, @known)
{
    my %known = map {$_ => 1} @known;
    my @names = split /,/, $text;
    my ($unknown) = grep {!$known{$_}} @names;
    $unknown //= '' if !@names;
    die qq(there is no $what "$unknown"; there are ) . join(', ', @known) . "\n"
        if defined $unknown;
    my %wanted = map {$_ => 1} @names;
    return [grep {$wanted{$_}} @known];
}

my %takes = (
    workload => sub ($text) { _names('workload', $text, Bench::Workload->names) },
    only => sub ($text) { _names('contender', $text, Bench::Contender->names) },
    rounds => sub ($text) { _number('rounds', $text, MOST_ROUNDS) },
    seconds => sub ($text) { _number('seconds', $text, MOST_SECONDS) },
    load => sub ($text) {
        $text =~ /^(?:wrk|own)$/ or die "--load=$text is not allowed: it is wrk or own\n";
        $text;
    },
    json => sub ($text) { length $text ? $text : die "--json= needs the name of a file\n" },
);
my %flags = map {$_ => 1} qw(quick list help);

# The options with their defaults. Dies with a sentence for people.
sub parse($class, @arguments)
{
    my %given;
    for my $argument (@arguments) {
        my ($name, $value) = $argument =~ /^--([a-z]+)(?:=(.*))?$/s;
        if (defined $name && $flags{$name} && !defined $value) {
            $given{$name} = 1;
        } elsif (defined $name && $takes{$name} && defined $value) {
            $given{$name} = $takes{$name}->($value);
        } else {
            die "$argument is not an option; there are " . _allowed() . "\n";
        }
    }
    my $quick = $given{quick};
    return {
        rounds => $quick ? 1 : ROUNDS,
        seconds => $quick ? 1 : SECONDS,
        workload => [$quick ? Bench::Workload->quick : Bench::Workload->names],
        only => [Bench::Contender->names],
        %given,
    };
}

sub help($class) { return $help }

1;
