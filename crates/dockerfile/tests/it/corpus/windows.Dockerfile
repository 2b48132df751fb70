# escape=`

FROM mcr.example.com/windows/servercore:ltsc2022
SHELL ["powershell", "-Command", "$ErrorActionPreference = 'Stop';"]
RUN Invoke-WebRequest https://example.com/a.zip -OutFile a.zip; `
    Expand-Archive a.zip -DestinationPath C:\tool; `

    Remove-Item a.zip
COPY files\ C:\app\
ENV TOOL=C:\tool LITERAL=`$x
WORKDIR C:\app
USER ContainerUser
ENTRYPOINT ["C:\\app\\run.exe"]
