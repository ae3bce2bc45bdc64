# SPDX-License-Identifier: Apache-2.0
# config.json of the daemon, slip by slip: each is refused by the program itself, with its line and
# key, and a sentence that says what to do.
use v5.36;

use HA::Test;
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();

my $t = HA::Test->new;

# All keys, a line each, with a value as it stands there: needed or not, and what is said of another
# type, and when it is missing.
my $text = 'is not a text: write it between double quotes';
my $command = 'is neither a text with a program and its arguments nor a list of texts';
my @keys = (
    {key => 'appName', value => '"Voting"', missing => 'is missing: add it, as in "appName": "Shop"', type => $text},
    {key => 'ensure-active-0', value => '"/srv/ensure.sh 0 active"', missing => 'is missing: "replicaIdList" has the id 0, say which program to run', type => $command},
    {key => 'ensure-active-1', value => '"/srv/ensure.sh 1 active"', missing => 'is missing: "replicaIdList" has the id 1, say which program to run', type => $command},
    {key => 'ensure-passive-0', value => '"/srv/ensure.sh 0 passive"', missing => 'is missing: "replicaIdList" has the id 0, say which program to run', type => $command},
    {key => 'ensure-passive-1', value => '"/srv/ensure.sh 1 passive"', missing => 'is missing: "replicaIdList" has the id 1, say which program to run', type => $command},
    {key => 'restart-hal-0', value => '"ssh host0 /srv/restartHalIfDead.sh 0"', type => $command},
    {key => 'restart-hal-1', value => '["ssh", "host1", "/srv/restartHalIfDead.sh 1"]', type => $command},
    {key => 'timeout', value => '"50000"', missing => 'is missing: add it, as in "timeout": 5000', type => 'is not a number from 2000 to 3600000'},
    {key => 'noOfRetryAttempts', value => '"3"', missing => 'is missing: add it, as in "noOfRetryAttempts": 3', type => 'is not a number from 1 to 100'},
    {key => 'replicaIdList', value => '["0","1"]', missing => 'is missing: add it, as in "replicaIdList": ["0", "1"]', type => 'is not a list of 1 to 64 ids, as in ["0", "1"]'},
    {key => 'musicLocation', value => '"localhost"', type => $text},
    {key => 'scriptTimeout', value => '5000', type => 'is not a number from 100 to 3600000'},
    {key => 'nodes', value => '{"0": "192.0.2.1:7946", "1": "192.0.2.2:7946", "web": {"address": "192.0.2.3:7946", "role": "witness"}}', missing => 'is missing: say where each replica\'s daemon is reached, as in "nodes": {"0": "192.0.2.1:7946", "1": "192.0.2.2:7946"}', type => 'is not an object of at most 64 nodes'},
    {key => 'secretFile', value => '"/etc/zerod/secret"', missing => 'is missing: daemons of several nodes prove with it that they belong together; "openssl rand -hex 32" makes one', type => $text},
    {key => 'dataDir', value => '"/var/lib/zerod"', type => $text}
);
my %at = map {$keys[$_]{key} => $_} 0 .. $#keys;

# The file of these lines, or of these texts as they are.
sub file(@lines)
{
    my $text = @lines > 1 ? "{\n" . join(",\n", map {"  $_"} @lines) . "\n}\n" : $lines[0];
    return $t->write_file('config.json', $text);
}

# All keys, with another value of these.
sub lines(%other)
{
    return map {qq("$_->{key}": ) . ($other{$_->{key}} // $_->{value})} @keys;
}

# "EXIT WHAT", without the name of the file.
sub said(@arguments)
{
    my $path = $t->dir('config.json');
    open(my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', HA::Zerod::program(), '-c', $path, @arguments) or die "zerod: $!\n";
    my $text = join '', <$out>;
    close $out;
    return ($? >> 8) . ' ' . $text =~ s/^(?:zerod: )?\Q$path\E(?::(?=[0-9]))?//mr =~ s/\n\z//r;
}

# What `zerod -n` says of a file.
sub checked(@lines)
{
    file(@lines);
    return said('-n');
}

# What is wrong with this key, when it has this value.
sub is_refused($key, $value, $why, $what)
{
    return is(checked(lines($key => $value)), '1 ' . ($at{$key} + 2) . qq(: "$key": $why), $what);
}

subtest 'H1: all keys, and those that are needed' => sub {
    is(checked(lines()), '0 : Syntax OK', 'all of them');
    is(checked(grep {!/scriptTimeout|dataDir|restart-hal|musicLocation/} lines()), '0 : Syntax OK', 'those that are needed');
};

subtest 'H1: each key that is missing is named' => sub {
    for my $i (0 .. $#keys) {
        my @rest = lines();
        splice @rest, $i, 1;
        my ($key, $why) = @{$keys[$i]}{qw(key missing)};
        is(checked(@rest), $why ? qq(1 : "$key": $why) : '0 : Syntax OK', $why ? $key : "$key may be missing");
    }
};

subtest 'H1: each key that is there twice is named with its second line' => sub {
    is(checked(lines(), qq("$_->{key}": $_->{value})), '1 ' . (@keys + 2) . qq(: "$_->{key}" is there twice: remove one of the two), $_->{key}) for @keys;
};

subtest 'H1: each key of a wrong type is named with its line' => sub {
    for my $key (@keys) {
        is_refused($key->{key}, $_, $key->{type}, "$key->{key} is $_") for 'true', 'null', $key->{value} =~ /^\{/ ? '[]' : '{}', $key->{type} =~ /text/ ? '7' : '"x"';
    }
    is_refused('appName', '""', 'is empty', 'a text that is empty');
    is_refused('ensure-active-1', '""', 'names no program: its first word is the path of one', 'a command that is empty');
    is_refused('ensure-active-1', '["/srv/a", 1]', 'its word 2 is not a text: write it between double quotes', 'a command with a number');
    is_refused('ensure-active-1', q("/srv/a 'b"), 'a quote is not closed', 'a command with an open quote');
    is_refused('timeout', $_, 'is not a number from 2000 to 3600000', "timeout is $_") for '1999', '3600001', '-5000', '5000.5', '"5000 "', '"5s"', '"99999999999999999999"';
    is_refused('noOfRetryAttempts', $_, 'is not a number from 1 to 100', "noOfRetryAttempts is $_") for '0', '101', '"-1"';
};

subtest 'H1: the example of HAL lacks a comma' => sub {
    my $hal = <<~'END';
    {
        "appName":"votingAppBharath",
        "ensure-active-0":"/home/ubuntu/votingapp/ensureVotingAppRunning.sh 0 active",
        "ensure-active-1":"/home/ubuntu/votingapp/ensureVotingAppRunning.sh 1 active",
        "ensure-active-2":"/home/ubuntu/votingapp/ensureVotingAppRunning.sh 2 active",
        "ensure-active-3":"/home/ubuntu/votingapp/ensureVotingAppRunning.sh 3 active",
        "ensure-passive-0":"/home/ubuntu/votingapp/ensureVotingAppRunning.sh 0 passive",
        "ensure-passive-1":"/home/ubuntu/votingapp/ensureVotingAppRunning.sh 1 passive",
        "ensure-passive-2":"/home/ubuntu/votingapp/ensureVotingAppRunning.sh 2 passive",
        "ensure-passive-3":"/home/ubuntu/votingapp/ensureVotingAppRunning.sh 3 passive",
        "restart-hal-0":"ssh -i /home/ubuntu/votingapp/key.pem ubuntu@192.0.2.156 /home/ubuntu/votingapp/restartHalIfDead.sh 0",
        "restart-hal-1":"ssh -i /home/ubuntu/votingapp/key.pem ubuntu@192.0.2.158 /home/ubuntu/votingapp/restartHalIfDead.sh 1",
        "restart-hal-2":"ssh -i /home/ubuntu/votingapp/key.pem ubuntu@192.0.2.68 /home/ubuntu/votingapp/restartHalIfDead.sh 2",
        "restart-hal-3":"ssh -i /home/ubuntu/votingapp/key.pem ubuntu@192.0.2.49 /home/ubuntu/votingapp/restartHalIfDead.sh 3",
        "timeout":"50000",
        "noOfRetryAttempts":"3",
        "replicaIdList":["0","1","2","3"]
        "musicLocation":"localhost"
    }
    END
    is(checked($hal), '1 18: a comma is missing before "musicLocation"', 'which is said');
    $hal =~ s/"3"\]/"3"],/ or die "no list of ids\n";
    is(checked($hal), '1 : "nodes": is missing: say where each replica\'s daemon is reached, as in "nodes": {"0": "192.0.2.1:7946", "1": "192.0.2.2:7946"}', 'with it, it does not say where the daemons are');
    $hal =~ s/"localhost"/"localhost",\n"nodes": {"0": "h0:1", "1": "h1:1", "2": "h2:1", "3": "h3:1"},\n"secretFile": "secret"/ or die "no place of MUSIC\n";
    is(checked($hal), '0 : Syntax OK', 'and with that it is taken as it stands');
};

subtest 'H1: a comma that is missing anywhere is said' => sub {
    my $whole = "{\n" . join(",\n", lines()) . "\n}\n";
    for my $i (1 .. $#keys) {
        my @all = split /(?<=,\n)/, $whole;
        $all[$i - 1] =~ s/,\n\z/\n/;
        is(checked(join '', @all), '1 ' . ($i + 2) . qq(: a comma is missing before "$keys[$i]{key}"), $keys[$i]{key});
    }
    is(checked($whole =~ s/\n\}/,\n}/r), '1 ' . (@keys + 2) . ': a comma stands before }: remove it', 'and one that is too many');
    is(checked(lines(timeout => '9' x 20)), '1 ' . ($at{timeout} + 2) . ': a number is too big', 'a number beyond all');
    is(checked(''), q(1 1: is not JSON: '[' or '{' expected near end of file), 'a file that is empty');
    is(checked('[]'), '1 1: is not a JSON object, which begins with {', 'a list');
};

subtest 'H1: ids count from 0 without a gap' => sub {
    my %ids = (
        '["0","2"]' => ['1', 2], '["0","0"]' => ['1', 2], '["1","0"]' => ['0', 1], '["0","1","1"]' => ['2', 3],
        '["0",1]' => ['1', 2], '["0","01"]' => ['1', 2], '["a"]' => ['0', 1], '["0","1","3"]' => ['2', 3]
    );
    is_refused('replicaIdList', $_, qq(ids count from "0" without a gap; "$ids{$_}[0]" is expected at place $ids{$_}[1]), $_) for sort keys %ids;
    is_refused('replicaIdList', $_, 'is not a list of 1 to 64 ids, as in ["0", "1"]', $_) for '[]', '"0,1"';
    for my $key ('ensure-active-2', 'ensure-passive-7', 'restart-hal-01', 'ensure-active-') {
        my ($id) = $key =~ /([0-9]*)$/;
        is(checked(lines(), qq("$key": "true")), '1 ' . (@keys + 2) . qq(: "$key": "replicaIdList" has no id $id), "$key is of no replica");
    }
    file(lines());
    for my $id ('2', '00', '01', 'x', '', '-1') {
        is(said('-n', '-i', $id), "2 zerod: -i $id: " . $t->dir('config.json') . ' has no such id, but 0, 1, web', "-i '$id' is none of them");
    }
    is(said('-n', '-i', $_), '0 : Syntax OK', "-i $_ is one") for '0', '1', 'web';
};

subtest 'H1: a key that is none' => sub {
    is(checked(lines(), '"more": 1'), '1 ' . (@keys + 2) . ': "more": is not a key of config.json, see doc/zerod.md', 'is refused');
    my @misspelt = map {s/"timeout"/"timeOut"/r} lines();
    is(checked(@misspelt), '1 ' . ($at{timeout} + 2) . ': "timeOut": is not a key of config.json, see doc/zerod.md', 'one that is misspelt is said, rather than that which is missing then');
};

subtest 'H1: the nodes' => sub {
    my $line = $at{nodes} + 2;
    my %wrong = (
        '{"0": "192.0.2.1:7946"}' => '"nodes": the replica "1" is not in it: say where its daemon is reached, as in "1": "192.0.2.1:7946"',
        '{"0": "h:1", "1": "h:2", "1": "h:3"}' => '"1" is there twice: remove one of the two',
        '{"0": "h:1", "1": "h"}' => '"1": its address: "h" is not HOST:PORT',
        '{"0": "h:1", "1": "h:0"}' => '"1": its address: "0" is not a port, use 1 to 65535',
        '{"0": "h:1", "1": 7}' => '"1": is neither "HOST:PORT" nor an object with an address',
        '{"0": "h:1", "1": {"bind": "h:2"}}' => '"1": it has no address: add "address": "HOST:PORT"',
        '{"0": "h:1", "1": {"address": "h:2", "http": 80}}' => '"1": its http is not a text: write it between double quotes',
        '{"0": "h:1", "1": {"address": "h:2", "role": "boss"}}' => '"1": its role is not voter, witness or observer',
        '{"0": "h:1", "1": {"address": "h:2", "electable": 1}}' => '"1": its electable is not true or false',
        '{"0": "h:1", "1": {"address": "h:2", "rol": "voter"}}' => '"1": rol is not one of address, bind, http, role, electable and mapFile, or, of a replica, route and url',
        '{"0": "h:1", "1": {"address": "h:2", "route": "0"}}' => '"1": another replica has the route 0, too'
    );
    is(checked(lines(nodes => $_)), "1 $line: $wrong{$_}", $_) for sort keys %wrong;
};

# What one of three says that does not start, with its exit code.
sub refusal($zerod)
{
    my ($code, $said) = $zerod->refusal;
    return "$code $said";
}

subtest 'H1: an address of its own that is nobody\'s, or another\'s' => sub {
    my ($zerod) = HA::Zerod->cluster($t, 'names', start => 0);
    $zerod->env(RES_OPTIONS => 'timeout:1 attempts:1');
    $zerod->reconfigure(sub($config) { $config->{nodes}{0} = 'nowhere.invalid:7946' });
    like(refusal($zerod), qr/^1 (?s:.*) nowhere\.invalid:7946: cannot be listened at: \S.*; it is this node's address in config\.json, or its bind$/m, 'a name that nobody knows');
    $zerod->reconfigure(sub($config) { $config->{nodes}{0} = '192.0.2.1:7946' });
    like(refusal($zerod), qr/^1 (?s:.*) 192\.0\.2\.1:7946: cannot be listened at: \S.*; it is this node's address/m, 'one of another host');
};

subtest 'two daemons where one should be' => sub {
    my @all = HA::Zerod->cluster($t, 'two');
    my $leader = HA::Zerod::leader_of(@all);
    my $term = $leader->status->{term};
    my $again = bless {%{$all[1]}, name => 'again'}, 'HA::Zerod';
    like(refusal($again), qr{^4 zerod: \S+/hal1: another zerod has this folder: it runs already$}, 'with the same folder');
    my $config = $all[1]->config_of;
    my $twin = HA::Zerod->new($t, 'twin', id => 1, config => {%$config, dataDir => $t->dir('twin')}, start => 0);
    like(refusal($twin), qr/^1 (?s:.*) \Q$config->{nodes}{1}\E: cannot be listened at: address already in use; it is this node's address/m, 'with the same id, and a folder of its own');
    is(HA::Zerod::leader_of(@all)->status->{term}, $term, 'the others do not mind');
    $_->stop for @all;
};

$t->done;
