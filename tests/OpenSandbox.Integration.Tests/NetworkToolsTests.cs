using System.Diagnostics;
using System.Globalization;
using System.IO.Compression;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using OpenSandbox.Vmm.Tests.Network;

namespace OpenSandbox.Integration.Tests;

/// <summary>The programs that sandboxes are used with reach servers through the gateway as they are: apt-get, pip, git and curl.</summary>
[Collection(HostFixture.Collection)]
public sealed class NetworkToolsTests(HostFixture fixture) : IAsyncLifetime
{
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(4);
    private static readonly ExecOptions s_asRoot = new() { User = "root" };
    private readonly string _root = Directory.CreateTempSubdirectory("site").FullName;
    private DnsTestServer? _dns;
    private SandboxHost? _host;

    public async Task InitializeAsync()
    {
        if (HostFixture.MissingPrerequisite is null)
        {
            _ = fixture.HostWithImage;
            _dns = DnsTestServer.With("127.0.0.1");
            _host = await SandboxHost.StartAsync(HostFixture.Options with { DnsServers = [_dns.Address] });
        }
    }

    public async Task DisposeAsync()
    {
        if (_host is not null)
        {
            await _host.DisposeAsync();
            await _dns!.DisposeAsync();
        }

        Directory.Delete(_root, recursive: true);
    }

    [SkippableFact]
    public async Task AptGet_FromRepositoryOnAllowedHost_InstallsPackage()
    {
        await MakeRepositoryAsync();
        await using var site = StaticSite.Start(_root);
        await using Sandbox sandbox = await StartAsync("deb.test", site.Port);
        await sandbox.Files.WriteAsync(
            "/etc/apt/sources.list", System.Text.Encoding.ASCII.GetBytes($"deb [trusted=yes] http://deb.test:{site.Port}/ ./\n"));
        await sandbox.ExecAsync(["sh", "-c", "rm -rf /etc/apt/sources.list.d/*"], s_asRoot);

        ExecResult update = await sandbox.ExecAsync(["apt-get", "update"], s_asRoot).WaitAsync(s_limit);
        ExecResult install = await sandbox.ExecAsync(["apt-get", "install", "-y", "hello-sandbox"], s_asRoot).WaitAsync(s_limit);
        ExecResult run = await sandbox.ExecAsync(["hello-sandbox"]).WaitAsync(s_limit);

        Assert.True(update.ExitCode == 0 && install.ExitCode == 0, update.StandardError + install.StandardError);
        Assert.Equal("installed\n", run.StandardOutput);
    }

    [SkippableFact]
    public async Task Pip_FromIndexOnAllowedHost_InstallsWheel()
    {
        MakeIndex();
        await using var site = StaticSite.Start(_root);
        await using Sandbox sandbox = await StartAsync("pypi.test", site.Port);

        ExecResult install = await sandbox.ExecAsync(
            ["pip", "install", "--index-url", $"http://pypi.test:{site.Port}/simple/", "--trusted-host", "pypi.test", "hello-wheel"]).WaitAsync(s_limit);
        ExecResult run = await sandbox.ExecAsync(["python3", "-c", "import hello_wheel; print(hello_wheel.WORD)"]).WaitAsync(s_limit);

        Assert.True(install.ExitCode == 0, install.StandardError);
        Assert.Equal("wheel\n", run.StandardOutput);
    }

    [SkippableFact]
    public async Task GitClone_FromAllowedHost_GetsRepository()
    {
        string work = Path.Combine(_root, "work");
        await RunAsync("git", "init", "-q", "-b", "main", work);
        await File.WriteAllTextAsync(Path.Combine(work, "README"), "cloned\n");
        await RunAsync("git", "-C", work, "add", "README");
        await RunAsync("git", "-C", work, "-c", "user.name=Test", "-c", "user.email=test@localhost", "commit", "-q", "-m", "first");
        await RunAsync("git", "clone", "-q", "--bare", work, Path.Combine(_root, "repo.git"));
        await RunAsync("git", "-C", Path.Combine(_root, "repo.git"), "update-server-info");
        await using var site = StaticSite.Start(_root);
        await using Sandbox sandbox = await StartAsync("*.test", site.Port);

        ExecResult clone = await sandbox.ExecAsync(["git", "clone", $"http://git.test:{site.Port}/repo.git", "/tmp/clone"]).WaitAsync(s_limit);

        Assert.True(clone.ExitCode == 0, clone.StandardError);
        Assert.Equal("cloned\n", (await sandbox.ExecAsync(["cat", "/tmp/clone/README"])).StandardOutput);
    }

    [SkippableFact]
    public async Task Curl_OverTls_VerifiesTheServersName()
    {
        await File.WriteAllBytesAsync(Path.Combine(_root, "large"), RandomNumberGenerator.GetBytes(5_000_000));
        using var key = RSA.Create(2048);
        var request = new CertificateRequest("CN=tls.test", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("tls.test");
        request.CertificateExtensions.Add(names.Build());
        DateTimeOffset now = DateTimeOffset.UtcNow;
        using X509Certificate2 certificate = request.CreateSelfSigned(now.AddDays(-1), now.AddDays(1));
        await using var site = StaticSite.Start(_root, certificate);
        await using Sandbox sandbox = await StartAsync("*.test", site.Port);
        await sandbox.Files.WriteAsync("/tmp/ca.pem", System.Text.Encoding.ASCII.GetBytes(certificate.ExportCertificatePem()));

        ExecResult right = await CurlAsync("tls.test");
        ExecResult wrong = await CurlAsync("other.test");

        Assert.True(right.ExitCode == 0, right.StandardError);
        string digest = Convert.ToHexStringLower(SHA256.HashData(await File.ReadAllBytesAsync(Path.Combine(_root, "large"))));
        Assert.StartsWith(digest, (await sandbox.ExecAsync(["sha256sum", "/tmp/large"])).StandardOutput, StringComparison.Ordinal);
        Assert.Equal(60, wrong.ExitCode); // curl: the certificate is another name's

        Task<ExecResult> CurlAsync(string name) => sandbox.ExecAsync(
            ["curl", "-sS", "--max-time", "120", "--cacert", "/tmp/ca.pem", "-o", "/tmp/large", $"https://{name}:{site.Port}/large"]).WaitAsync(s_limit);
    }

    private Task<Sandbox> StartAsync(string name, int port)
    {
        Skip.If(HostFixture.MissingPrerequisite is not null, HostFixture.MissingPrerequisite);
        return _host!.CreateAsync(new SandboxSpec { Egress = EgressPolicy.AllowOnly(name, $"127.0.0.1:{port}") });
    }

    private async Task MakeRepositoryAsync()
    {
        string tree = Path.Combine(_root, "tree");
        Directory.CreateDirectory(Path.Combine(tree, "DEBIAN"));
        Directory.CreateDirectory(Path.Combine(tree, "usr", "bin"));
        const string control = "Package: hello-sandbox\nVersion: 1.0\nArchitecture: all\nMaintainer: Test <test@localhost>\nDescription: says that it is installed\n";
        await File.WriteAllTextAsync(Path.Combine(tree, "DEBIAN", "control"), control);
        string program = Path.Combine(tree, "usr", "bin", "hello-sandbox");
        await File.WriteAllTextAsync(program, "#!/bin/sh\necho installed\n");
        File.SetUnixFileMode(program, (UnixFileMode)0x1ED);
        string package = Path.Combine(_root, "hello-sandbox_1.0_all.deb");
        await RunAsync("dpkg-deb", "--root-owner-group", "-b", tree, package);
        byte[] content = await File.ReadAllBytesAsync(package);
        string index = string.Create(
            CultureInfo.InvariantCulture,
            $"{control}Filename: ./{Path.GetFileName(package)}\nSize: {content.Length}\nSHA256: {Convert.ToHexStringLower(SHA256.HashData(content))}\n\n");
        await File.WriteAllTextAsync(Path.Combine(_root, "Packages"), index);
    }

    private void MakeIndex()
    {
        string folder = Path.Combine(_root, "simple", "hello-wheel");
        Directory.CreateDirectory(folder);
        const string wheel = "hello_wheel-1.0-py3-none-any.whl";
        using (ZipArchive archive = ZipFile.Open(Path.Combine(folder, wheel), ZipArchiveMode.Create))
        {
            Add(archive, "hello_wheel/__init__.py", "WORD = 'wheel'\n");
            Add(archive, "hello_wheel-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: hello-wheel\nVersion: 1.0\n");
            Add(archive, "hello_wheel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n");
            Add(archive, "hello_wheel-1.0.dist-info/RECORD", "hello_wheel/__init__.py,,\nhello_wheel-1.0.dist-info/METADATA,,\nhello_wheel-1.0.dist-info/WHEEL,,\nhello_wheel-1.0.dist-info/RECORD,,\n");
        }

        File.WriteAllText(Path.Combine(folder, "index.html"), $"<!DOCTYPE html><html><body><a href=\"{wheel}\">{wheel}</a></body></html>");

        static void Add(ZipArchive archive, string name, string text)
        {
            using var writer = new StreamWriter(archive.CreateEntry(name).Open());
            writer.Write(text);
        }
    }

    private static async Task RunAsync(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true })!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        await process.StandardOutput.ReadToEndAsync().WaitAsync(s_limit);
        await process.WaitForExitAsync().WaitAsync(s_limit);
        Assert.True(process.ExitCode == 0, $"{program}: {await error}");
    }
}
